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

// listener accepts the connections of the daemon's own user on its socket. It outlives the socket: when the path was
// unlinked, or its folder removed, guard binds it again.
type listener struct {
	paths  Paths
	log    *slog.Logger
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex
	socket *net.UnixListener
	path   string
	ino    uint64
	denied int64
}

// listen listens on the socket that systemd opened, or else on one of its own.
func listen(paths Paths, inherited *os.File, log *slog.Logger) (*listener, error) {
	paths.Candidates = slices.Clone(paths.Candidates) // which change as folders come and go
	d := &listener{paths: paths, log: log, conns: make(chan net.Conn), closed: make(chan struct{})}
	if inherited != nil {
		return d, d.adopt(inherited)
	}
	return d, d.bind(paths.Socket())
}

// adopt listens on a socket that systemd opened.
func (d *listener) adopt(file *os.File) error {
	l, err := net.FileListener(file)
	_ = file.Close()
	unix, ok := l.(*net.UnixListener)
	if err != nil || !ok {
		return fault.Usage("socket_invalid", "the file that systemd handed over is not a Unix socket").Because(err)
	}
	path := unix.Addr().String()
	info, err := os.Lstat(path)
	if err != nil {
		return fault.Usage("socket_invalid", "the socket %s that systemd handed over is gone", path).Because(err)
	}
	d.use(unix, path, files.Inode(info))
	return nil
}

// use replaces the socket of before.
func (d *listener) use(l *net.UnixListener, path string, ino uint64) {
	l.SetUnlinkOnClose(false) // the path may be another socket's by then
	d.mu.Lock()
	old, oldPath, oldIno := d.socket, d.path, d.ino
	d.socket, d.path, d.ino = l, path, ino
	d.mu.Unlock()
	if old != nil {
		_ = old.Close()
		if oldPath != path {
			unlink(oldPath, oldIno)
		}
	}
	go d.accept(l)
}

// bind listens at a path. It removes the socket of a dead daemon, and never one that a process listens on.
func (d *listener) bind(c Candidate) error {
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
	unlock, err := lockDir(dir) // checking and binding are one step for all daemons that try this path
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

// vacate removes the socket of a dead daemon from a path.
func vacate(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.Unavailable("socket_unusable", "the socket %s cannot be looked at", path).Because(err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fault.Conflict("socket_path_taken", "%s is there, and is not a socket", path).
			WithHint("move it away, or set STEGA_SOCKET")
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

// stale reports whether no process listens on a socket. When that is not certain, it is not stale.
func stale(path string) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// unlink removes a socket, unless the path has another one by now.
func unlink(path string, ino uint64) {
	if info, err := os.Lstat(path); err == nil && files.Inode(info) == ino {
		_ = os.Remove(path)
	}
}

// accept hands on the connections of the daemon's user, until the socket is closed.
func (d *listener) accept(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				select {
				case <-time.After(50 * time.Millisecond): // until others are closed
					continue
				case <-d.closed:
				}
			}
			return
		}
		if uid, err := peer(c); err != nil || uid != os.Getuid() {
			d.log.Warn("a connection of another user is refused", "uid", uid, "error", err)
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

// guard checks the socket regularly, binds it again when it is gone, and calls moved with its path. When the lock is
// gone, another daemon may have started with files of its own, and this one ends.
func (d *listener) guard(ctx context.Context, every time.Duration, lock *Lock, moved func(socket string) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	logged := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !lock.intact(d.paths.lock()) {
			return fault.Unavailable("daemon_state_lost",
				"the folder %s of the daemon was removed, with the files in it", d.paths.State).
				WithHint("the next command starts a daemon with a new folder")
		}
		path, ok := d.intact()
		if ok {
			logged = ""
			continue
		}
		at := d.paths.Socket()
		err := d.bind(at)
		if err == nil {
			d.log.Info("the socket was gone and is bound again", "was", path, "socket", at.Path)
			err = moved(at.Path)
		}
		if err != nil && err.Error() != logged {
			logged = err.Error()
			d.log.Error("the socket cannot be bound again", "socket", at.Path, "error", err)
		}
	}
}

// intact reports whether the socket is at its path and is the daemon's.
func (d *listener) intact() (path string, ok bool) {
	for i := range d.paths.Candidates {
		d.paths.Candidates[i].look()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Lstat(d.path)
	return d.path, err == nil && files.Inode(info) == d.ino
}

// at returns the path of the socket.
func (d *listener) at() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.path
}

// refused returns how many connections of other users were refused.
func (d *listener) refused() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.denied
}

// pause accepts no further connections.
func (d *listener) pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.socket.SetDeadline(time.Unix(1, 0))
}

// close closes the socket and removes it, unless the path has another one by now.
func (d *listener) close() {
	_ = d.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.socket != nil {
		_ = d.socket.Close()
		unlink(d.path, d.ino)
	}
}

// Accept returns the next connection of the daemon's user.
func (d *listener) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. The socket itself stays until close, after the requests in flight.
func (d *listener) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr returns the address of the socket.
func (d *listener) Addr() net.Addr { return &net.UnixAddr{Name: d.at(), Net: "unix"} }
