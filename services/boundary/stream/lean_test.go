package stream

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// leanClient is a client that costs its own process little: the frames are read by hand, and a mask of zeros masks
// nothing.
type leanClient struct {
	addr      string
	i         int
	operation string
	conn      net.Conn
	in        *bufio.Reader
	last      Position
	frame     []byte        // that came last
	at        time.Time     // when
	took      time.Duration // from the publishing of its event
}

// atOnce does the same with all clients, so many at a time; 0 is all.
func atOnce(clients []*leanClient, limit int, do func(*leanClient) error) error {
	var group errgroup.Group
	if limit > 0 {
		group.SetLimit(limit)
	}
	for _, c := range clients {
		group.Go(func() error { return do(c) })
	}
	return group.Wait()
}

func quantiles(clients []*leanClient) string {
	times := make([]time.Duration, 0, len(clients))
	for _, c := range clients {
		times = append(times, c.took)
	}
	slices.Sort(times)
	at := func(p int) string { return times[(len(times)-1)*p/100].Round(time.Millisecond).String() }
	return fmt.Sprintf("p50 %dms p99 %dms max %s", times[len(times)/2].Milliseconds(),
		times[(len(times)-1)*99/100].Milliseconds(), at(100))
}

func (l *leanClient) dial() error {
	// Several addresses of loopback have ports enough for all connections, old and new.
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+l.i%16))}, Timeout: time.Minute}
	var err error
	if l.conn, err = dialer.Dial("tcp", l.addr); err != nil {
		return err
	}
	_ = l.conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := fmt.Fprintf(l.conn,
		"GET /v1/stream HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", l.addr); err != nil {
		return err
	}
	l.in = bufio.NewReaderSize(l.conn, 1024)
	for n := 0; ; n++ {
		line, err := l.in.ReadString('\n')
		if err != nil {
			return err
		}
		if n == 0 && !strings.Contains(line, " 101 ") {
			return fmt.Errorf("upgrade: %s", line)
		}
		if line == "\r\n" {
			break
		}
	}
	_, err = l.next() // the hello
	return err
}

func (l *leanClient) connect() error {
	if err := l.dial(); err != nil {
		return err
	}
	for _, channel := range []string{"portfolio.*", "operation:" + l.operation} {
		if err := l.enqueue(`{"id":1,"subscribe":{"channel":%q}}`, channel); err != nil {
			return err
		}
		s, err := l.next()
		if err != nil || s.Result == nil {
			return fmt.Errorf("subscribe: %+v %w", s.Error, err)
		}
		l.last = s.Result.Position
	}
	return nil
}

// listen reads one push. What it says is looked at later, for this process has the same processors as the server.
func (l *leanClient) listen() error {
	frame, err := l.text()
	l.at, l.frame = time.Now(), frame
	return err
}

// received looks at what listen read.
func (l *leanClient) received() error {
	var s logged
	if err := json.Unmarshal(l.frame, &s); err != nil {
		return err
	}
	if s.Push == nil {
		return fmt.Errorf("not a push: %s", l.frame)
	}
	l.last = Position{s.Push.Position, s.Push.Event.ID}
	var data struct{ At int64 }
	if err := json.Unmarshal(s.Push.Event.Data, &data); err != nil {
		return err
	}
	l.took = l.at.Sub(time.Unix(0, data.At))
	return nil
}

// comeBack resumes, and reads what was missed.
func (l *leanClient) comeBack() error {
	if err := l.dial(); err != nil {
		return err
	}
	for _, channel := range []string{"portfolio.*", "operation:" + l.operation} {
		if err := l.enqueue(`{"id":1,"subscribe":{"channel":%q,"from":{"position":%d,"id":%q}}}`, channel,
			l.last.Position,
			l.last.ID); err != nil {
			return err
		}
	}
	for got, replies := 0, 0; got < missedEvents || replies < 2; {
		s, err := l.next()
		switch {
		case err != nil:
			return err
		case s.Push != nil && s.Push.Event.Sequence != got:
			return fmt.Errorf("event %d in place of %d", s.Push.Event.Sequence, got)
		case s.Push != nil:
			got++
		case s.Result != nil && s.Result.Resumed:
			replies++
		default:
			return fmt.Errorf("resume: %+v", s.Error)
		}
	}
	return nil
}

func (l *leanClient) enqueue(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	out := []byte{0x81, 0x80 | 126, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(out[2:], uint16(len(text)))
	_, err := l.conn.Write(append(out, text...))
	return err
}

func (l *leanClient) next() (logged, error) {
	var s logged
	text, err := l.text()
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

// text reads a text message; a ping is answered.
func (l *leanClient) text() ([]byte, error) {
	var head [10]byte
	for {
		if _, err := io.ReadFull(l.in, head[:2]); err != nil {
			return nil, err
		}
		n := int(head[1])
		switch n {
		case 126:
			if _, err := io.ReadFull(l.in, head[2:4]); err != nil {
				return nil, err
			}
			n = int(binary.BigEndian.Uint16(head[2:]))
		case 127:
			return nil, errors.New("a frame is too long")
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(l.in, data); err != nil {
			return nil, err
		}
		switch head[0] {
		case 0x89:
			if _, err := l.conn.Write([]byte{0x8a, 0x80, 0, 0, 0, 0}); err != nil {
				return nil, err
			}
			continue
		case 0x81:
			return data, nil
		}
		return nil, fmt.Errorf("a frame of type %x: %s", head[0], data)
	}
}
