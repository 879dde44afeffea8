package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"stega/fault"
	"stega/internal/files"
)

// door is the socket that the daemon listens on. It is a listener that outlives its socket: when the path was
// unlinked, or its folder went, guard binds it anew. Only connections of the daemon's own user come through.
type door struct {
	paths  Paths
	log    *slog.Logger
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex
	listener *net.UnixListener
	path     string
	ino      uint64
	denied   int64
	paused   bool
}

func newDoor(paths Paths, inherited *Inherited, log *slog.Logger) (*door, error) {
	paths.Candidates = slices.Clone(paths.Candidates) // which change as folders come and go
	d := &door{paths: paths, log: log, conns: make(chan net.Conn), closed: make(chan struct{})}
	if inherited != nil && inherited.Socket != nil {
		return d, d.adopt(inherited.Socket)
	}
	return d, d.bind(paths.Socket())
}

// adopt listens on a socket that somebody else opened: systemd, or the daemon before this one.
func (d *door) adopt(file *os.File) error {
	l, err := net.FileListener(file)
	_ = file.Close()
	unix, ok := l.(*net.UnixListener)
	if err != nil || !ok {
		return fault.Usage("socket_invalid", "what was handed over to listen on is not a Unix socket").Because(err)
	}
	path := unix.Addr().String()
	info, err := os.Lstat(path)
	if err != nil {
		return fault.Usage("socket_invalid", "the socket %s that was handed over is gone", path).Because(err)
	}
	d.use(unix, path, files.Inode(info))
	return nil
}

// use takes a listener in the place of the one before.
func (d *door) use(l *net.UnixListener, path string, ino uint64) {
	l.SetUnlinkOnClose(false) // by then the path may be that of another socket
	d.mu.Lock()
	old, oldPath, oldIno := d.listener, d.path, d.ino
	d.listener, d.path, d.ino = l, path, ino
	d.mu.Unlock()
	if old != nil {
		_ = old.Close()
		if oldPath != path {
			unlink(oldPath, oldIno)
		}
	}
	go d.accept(l)
}

// bind listens at a path. What a dead daemon left there is removed; a socket that somebody listens on never is.
func (d *door) bind(c Candidate) error {
	if err := short(c.Path); err != nil {
		return err
	}
	dir := filepath.Dir(c.Path)
	check := tight
	if c.Ours {
		check = private
	}
	if err := check(dir); err != nil {
		return err
	}
	unlock, err := lockDir(dir) // looking and binding are one step for every daemon that wants this path
	if err != nil {
		return err
	}
	defer unlock()
	if err := vacate(c.Path); err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: c.Path, Net: "unix"})
	if err != nil {
		return fault.Unavailable("socket_unusable", "the daemon cannot listen at %s", c.Path).
			WithHint("check that the folder may be written, and that the disk has room").Because(err)
	}
	err = os.Chmod(c.Path, 0o600)
	info, statErr := os.Lstat(c.Path)
	if err := errors.Join(err, statErr); err != nil {
		_ = l.Close()
		return fault.Unavailable("socket_unusable", "the daemon cannot listen at %s", c.Path).Because(err)
	}
	d.use(l, c.Path, files.Inode(info))
	return nil
}

func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err == nil {
		if err = files.Lock(f); err != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		return nil, fault.Unavailable("folder_unusable", "the folder %s of the socket cannot be used", dir).Because(err)
	}
	return func() { _ = f.Close() }, nil
}

// vacate makes room at a path when what is there is the socket of a dead daemon.
func vacate(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.Unavailable("socket_unusable", "the socket %s cannot be looked at", path).Because(err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fault.Conflict("socket_path_taken", "%s is there, and is not a socket", path).WithHint("move it away, or set STEGA_SOCKET")
	}
	if !stale(path) {
		return fault.Conflict("socket_in_use", "something listens at %s already", path).
			WithHint("is it a daemon with another state folder? end it, or set STEGA_SOCKET")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fault.Unavailable("socket_unusable", "the old socket %s cannot be removed", path).Because(err)
	}
	return nil
}

// stale reports whether nobody listens on a socket. In doubt somebody does.
func stale(path string) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// unlink removes a socket unless it has become another's.
func unlink(path string, ino uint64) {
	if info, err := os.Lstat(path); err == nil && files.Inode(info) == ino {
		_ = os.Remove(path)
	}
}

// accept lets in whoever may come in, until its listener ends.
func (d *door) accept(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				select {
				case <-time.After(50 * time.Millisecond): // some will be closed
					continue
				case <-d.closed:
				}
			}
			return
		}
		if uid, err := peer(c); err != nil || uid != os.Getuid() {
			d.log.Warn("a connection of another user was refused", "uid", uid, "error", err)
			d.mu.Lock()
			d.denied++
			d.mu.Unlock()
			_ = c.Close()
			continue
		}
		select {
		case d.conns <- c:
		case <-d.closed:
			_ = c.Close()
			return
		}
	}
}

// guard looks at the socket now and then, and binds it anew when it is gone. moved is told where it is then. When the
// lock is gone, another daemon may have begun with files of its own, and this one ends.
func (d *door) guard(ctx context.Context, every time.Duration, lock *Lock, moved func(socket string) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !lock.intact(d.paths.lock()) {
			return fault.Unavailable("daemon_state_lost", "the folder %s was removed under the daemon, and what it kept there with it", d.paths.State).
				WithHint("the next command starts a daemon with a new one")
		}
		path, ok := d.intact()
		if ok {
			said = ""
			continue
		}
		at := d.paths.Socket()
		err := d.bind(at)
		if err == nil {
			d.log.Info("the socket was gone and is there again", "was", path, "socket", at.Path)
			err = moved(at.Path)
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			d.log.Error("the socket cannot be put back", "socket", at.Path, "error", err)
		}
	}
}

// intact reports whether the socket is where it belongs and still is the daemon's.
func (d *door) intact() (path string, ok bool) {
	for i := range d.paths.Candidates {
		d.paths.Candidates[i].look()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Lstat(d.path)
	return d.path, err == nil && files.Inode(info) == d.ino
}

func (d *door) socket() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.path
}

func (d *door) refused() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.denied
}

// pause leaves further connections waiting in the kernel, for the next daemon or for nobody.
func (d *door) pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = true
	_ = d.listener.SetDeadline(time.Unix(1, 0))
}

// file is the socket to hand over.
func (d *door) file() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.listener.File()
}

// close ends listening and removes the socket, unless it has become another's.
func (d *door) close() {
	_ = d.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		_ = d.listener.Close()
		unlink(d.path, d.ino)
	}
}

// Accept is the next connection of the daemon's user.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. The socket itself stays until close, as another daemon may go on with it.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr is where the socket is.
func (d *door) Addr() net.Addr { return &net.UnixAddr{Name: d.socket(), Net: "unix"} }
