package stream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// What one connection keeps while it is idle: the library's buffers, which need not be large, as what is pushed goes
// around them, and reads that are larger go straight to where they belong.
const (
	readBuffer  = 512
	writeBuffer = 256 // a control frame must fit: it is then one write
)

// wire is a connection that the library and the hub both write to, a whole frame at a time.
type wire struct {
	net.Conn
	early []byte // what the HTTP server had read already
	mu    sync.Mutex
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	w.early = nil
	return w.Conn.Read(p)
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Conn.Write(p)
}

// slim hands the library the connection with small buffers in place of those of the HTTP server, which go back with it.
type slim struct {
	http.ResponseWriter
	wire *wire
}

func (s *slim) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s.wire = &wire{Conn: conn}
	if n := buffers.Reader.Buffered(); n > 0 {
		s.wire.early = make([]byte, n)
		if _, err := io.ReadFull(buffers.Reader, s.wire.early); err != nil {
			return nil, nil, err
		}
	}
	return s.wire, bufio.NewReadWriter(bufio.NewReaderSize(s.wire, readBuffer),
			bufio.NewWriterSize(s.wire, writeBuffer)),
		nil
}

// socket is the link of a client over WebSocket.
type socket struct {
	c    *client
	ws   *websocket.Conn
	wire *wire
}

// webSocket serves a client over WebSocket. It returns once the connection is established, so that nothing of the
// HTTP server stays behind.
func (h *Hub) webSocket(w http.ResponseWriter, r *http.Request, token string, admitted bool) error {
	c, crowded := h.join(asWebSocket, remote(r))
	if crowded != nil && !h.serving() {
		return crowded
	}
	if c != nil && admitted {
		if err := h.occupy(c, h.holderOf(r, token)); err != nil {
			c.leave()
			return err
		}
	}
	s := &socket{c: c}
	thin := &slim{ResponseWriter: w}
	ws, err := websocket.Accept(thin, r, &websocket.AcceptOptions{
		Subprotocols: []string{"stega.v1"}, InsecureSkipVerify: true, // the origin was looked at
		OnPongReceived: func(context.Context, []byte) { s.markAlive() },
		OnPingReceived: func(context.Context, []byte) bool { s.markAlive(); return true },
	})
	if err != nil { // it was answered
		if c != nil {
			c.leave()
		}
		return nil
	}
	if crowded != nil {
		h.metrics.closed(codeCrowded)
		_ = ws.Close(codeCrowded, "too many connections") // it was to be closed
		return nil                                        //nolint:nilerr // it was answered
	}
	ws.SetReadLimit(h.o.Message)
	s.ws, s.wire = ws, thin.wire
	c.start(s)
	if admitted {
		c.watch(r.Context(), token)
		c.welcome()
	} else {
		c.authBy.Store(time.Now().Add(h.o.Auth).UnixNano())
	}
	go s.read() //nolint:gosec // a stream outlives the request that upgraded it
	return nil
}

// keep keeps the place of the connection among those of the process, now that the client was let in.
func (s *socket) keep() {
	conn := s.wire.Conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if k, ok := conn.(interface{ Keep() }); ok {
		k.Keep()
	}
}

// serving reports whether new clients are taken.
func (h *Hub) serving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running && !h.draining && h.life.Err() == nil
}

// markAlive records that the client is alive.
func (s *socket) markAlive() { s.c.pongBy.Store(0) }

// read obeys the client's messages until the connection ends.
func (s *socket) read() {
	defer s.c.leave()
	for {
		kind, message, err := s.ws.Reader(context.Background())
		if err != nil {
			s.ended(err)
			return
		}
		if err := s.message(kind, message); err != nil {
			s.ended(err)
			return
		}
	}
}

func (s *socket) message(kind websocket.MessageType, message io.Reader) error {
	s.c.readBy.Store(time.Now().Add(s.c.h.o.Read).UnixNano())
	data, err := io.ReadAll(message)
	s.c.readBy.Store(0)
	if err != nil {
		return err
	}
	s.markAlive()
	if kind != websocket.MessageText {
		s.c.close(codeBad, "messages are text", false)
		return nil
	}
	s.c.obey(data)
	return nil
}

// ended closes a connection that nothing can be read from any more.
func (s *socket) ended(err error) {
	code := int(websocket.CloseStatus(err))
	reason := ""
	var network net.Error
	switch {
	case code >= 0:
	case errors.Is(err, websocket.ErrMessageTooBig):
		code, reason = int(websocket.StatusMessageTooBig), "the message is too big"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.As(err, &network):
		code = int(websocket.StatusAbnormalClosure)
	default:
		code, reason = int(websocket.StatusProtocolError), "the frame is malformed"
	}
	if s.c.closing.Swap(true) {
		return // the writer closes
	}
	s.c.h.metrics.closed(code)
	if reason != "" {
		_ = s.ws.Close(websocket.StatusCode(code), reason) // with what the client still sends, so that it can read why
		return
	}
	_ = s.ws.CloseNow() // it is gone
}

func (s *socket) write() { s.c.h.work.Go(s.flush) }

func (s *socket) hurry(within time.Duration) { _ = s.wire.SetWriteDeadline(time.Now().Add(within)) }

func (s *socket) cut() { _ = s.wire.Close() }

// Batches of small frames are written at once.
const batchBytes = 16 << 10

var batches = sync.Pool{New: func() any { b := make([]byte, 0, batchBytes); return &b }}

// flush writes what is queued, until there is nothing.
func (s *socket) flush() {
	var few [8]item
	for {
		batch, finish := s.c.queue.take(few[:0], batchBytes)
		if len(batch) == 0 {
			if finish {
				_ = s.ws.Close(websocket.StatusCode(s.c.code), s.c.reason) // the client may be gone
				s.cut()
			}
			return
		}
		s.c.writing(batch)
		if err := s.writeBatch(batch); err != nil {
			s.c.queue.end(true)
			_ = s.ws.CloseNow() // nothing can be written any more
			return
		}
		s.c.wrote(batch)
		clear(batch)
	}
}

func (s *socket) writeBatch(batch []item) error {
	if len(batch) == 1 {
		_, err := s.wire.Write(batch[0].frame)
		return err
	}
	buffer := batches.Get().(*[]byte)
	defer batches.Put(buffer)
	*buffer = (*buffer)[:0]
	for _, it := range batch {
		*buffer = append(*buffer, it.frame...)
	}
	_, err := s.wire.Write(*buffer)
	return err
}
