package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What the server keeps, and for how long.
const (
	logStream  = "log"
	deadStream = "dead"
	metaBorn   = "stega-born" // unix microseconds

	logBytes    = 1 << 30
	logAge      = 7 * 24 * time.Hour
	storeLimit  = 1 << 40 // the streams have limits of their own
	memoryLimit = 64 << 20
	syncEvery   = 10 * time.Second
	maxMessage  = 8 << 20 // bytes of data and headers

	// The streams are not asked to find doubles, and with the shortest window that there is they do not read back
	// what they stored in the last minutes whenever they open.
	noWindow = 100 * time.Millisecond

	startLimit = 10 * time.Second
)

// errDamaged says that the server runs but could not use what it found.
var errDamaged = errors.New("what is stored there cannot be read")

// instance is the server with the connection to it.
type instance struct {
	srv     *server.Server
	dir     string
	heard   *serverLog
	conn    *nats.Conn
	js      jetstream.JetStream
	log     jetstream.Stream
	born    uint64 // the position of an event is this and its sequence in the stream
	dead    jetstream.Stream
	shut    func()
	mending atomic.Bool
	mute    atomic.Bool // it did not answer when it was to store a dead letter
	upset   func(error) // called when the connection was lost
	upsets  sync.Mutex  // guards upset
}

func (i *instance) stop() {
	i.conn.Close()
	i.shut()
}

// start runs the server on the folder, or on a new one in its place when it cannot be used.
func start(ctx context.Context, dir string, log *slog.Logger) (*instance, error) {
	store := filepath.Join(dir, server.JetStreamStoreDir)
	_, err := os.Stat(store)
	found := err == nil
	if !found && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	i, err := tryStart(ctx, dir, log)
	if err == nil || !found || ctx.Err() != nil || errors.Is(err, fs.ErrPermission) {
		return i, err
	}
	aside := fmt.Sprintf("%s.damaged-%s", store, time.Now().UTC().Format("20060102T150405.000000"))
	if renamed := os.Rename(store, aside); renamed != nil {
		return nil, errors.Join(err, renamed)
	}
	log.Warn("the event log cannot be used and was moved aside; a new one begins, and nothing that is unhandled is lost",
		"moved_to", aside, "cause", err)
	return tryStart(ctx, dir, log)
}

func tryStart(ctx context.Context, dir string, log *slog.Logger) (*instance, error) {
	before, err := streamsIn(dir)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "stega", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, JetStreamMaxMemory: memoryLimit, JetStreamMaxStore: storeLimit,
		DisableJetStreamBanner: true, MaxPayload: maxMessage, NoSystemAccount: true,
		SyncInterval: syncEvery,
	})
	if err != nil {
		return nil, err
	}
	heard := &serverLog{log: log}
	srv.SetLoggerV2(heard, false, false, false)
	shut := func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	srv.Start()
	if !srv.ReadyForConnections(startLimit) {
		shut()
		return nil, errors.New("the server does not get ready")
	}
	if !srv.JetStreamEnabled() {
		shut()
		return nil, fmt.Errorf("%w: %v", errDamaged, heard.worst.Load())
	}
	i, err := connect(ctx, srv, before)
	if err != nil {
		shut()
		return nil, err
	}
	i.shut, i.srv, i.dir, i.heard = shut, srv, dir, heard
	return i, nil
}

// streamsIn names the streams that an earlier server left in the folder.
func streamsIn(dir string) (map[string]bool, error) {
	streams := map[string]bool{}
	for _, stream := range []string{logStream, deadStream} {
		_, err := os.Stat(filepath.Join(dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams", stream))
		switch {
		case err == nil:
			streams[stream] = true
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return streams, nil
}

// connect connects to the server inside the process and makes the streams that are not there yet.
func connect(ctx context.Context, srv *server.Server, before map[string]bool) (*instance, error) {
	i := &instance{}
	conn, err := nats.Connect("", nats.InProcessServer(srv), nats.Name("stega"),
		nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1), nats.NoCallbacksAfterClientClose(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // publishers and readers learn of it themselves
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			i.upsets.Lock()
			defer i.upsets.Unlock()
			if i.upset != nil {
				i.upset(err)
			}
		}))
	if err != nil {
		return nil, err
	}
	i.conn = conn
	if err := i.streams(ctx, before); err != nil {
		conn.Close()
		return nil, err
	}
	return i, nil
}

func (i *instance) streams(ctx context.Context, before map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	if i.js, err = jetstream.New(i.conn); err != nil {
		return err
	}
	for stream := range before {
		if _, err := i.js.Stream(ctx, stream); err != nil {
			return fmt.Errorf("%w: stream %s: %w", errDamaged, stream, err)
		}
	}
	// A position must not come back as another when the log was lost, so positions count from the birth of the log.
	born := strconv.FormatInt(time.Now().UnixMicro(), 10)
	if i.log, err = i.stream(ctx, before[logStream], jetstream.StreamConfig{
		Name: logStream, Subjects: []string{logStream}, Metadata: map[string]string{metaBorn: born},
		MaxBytes: logBytes, MaxAge: logAge, Discard: jetstream.DiscardOld, Duplicates: noWindow,
	}); err != nil {
		return fmt.Errorf("make the event log: %w", err)
	}
	if before[logStream] && i.log.CachedInfo().State.LastSeq == 0 { // its messages are gone, if it had any
		cfg := i.log.CachedInfo().Config
		cfg.Metadata[metaBorn] = born
		if i.log, err = i.js.UpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("begin the event log anew: %w", err)
		}
	}
	if i.born, err = strconv.ParseUint(i.log.CachedInfo().Config.Metadata[metaBorn], 10, 62); err != nil {
		return fmt.Errorf("%w: the birth of the event log: %w", errDamaged, err)
	}
	if i.dead, err = i.stream(ctx, before[deadStream], jetstream.StreamConfig{
		Name: deadStream, Subjects: []string{deadStream}, Duplicates: noWindow,
	}); err != nil {
		return fmt.Errorf("make the dead letters: %w", err)
	}
	return nil
}

func (i *instance) stream(ctx context.Context, exists bool, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	if exists {
		return i.js.Stream(ctx, cfg.Name)
	}
	return i.js.CreateStream(ctx, cfg)
}

// serverLog passes on what the server has to say when something is wrong.
type serverLog struct {
	log   *slog.Logger
	worst atomic.Value // the last fatal thing
	at    atomic.Int64 // when it had a problem last, in unix nanoseconds
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("the embedded broker warns", "text", fmt.Sprintf(format, v...))
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.at.Store(time.Now().UnixNano())
	l.log.Error("the embedded broker has a problem", "text", fmt.Sprintf(format, v...))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	l.worst.Store(fmt.Sprintf(format, v...))
	l.Errorf(format, v...)
}
