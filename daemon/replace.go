package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"stega/fault"
)

// Newer reports whether a build is newer than another: by version, and for builds of one version by when they were
// made.
func (b Build) Newer(than Build) bool {
	if b.ID == than.ID {
		return false
	}
	if semver.IsValid(b.Version) && semver.IsValid(than.Version) {
		if c := semver.Compare(b.Version, than.Version); c != 0 {
			return c > 0
		}
	}
	return b.Built.After(than.Built)
}

// ThisBuild is the build of the running program.
func ThisBuild(version, revision string) Build {
	b := Build{Version: version, ID: revision}
	path, err := os.Executable()
	if err != nil {
		return b
	}
	info, err := os.Stat(path)
	if err != nil {
		return b
	}
	b.Built = info.ModTime().UTC()
	b.ID = fmt.Sprintf("%.12s-%x-%x", revision, info.Size(), b.Built.UnixNano())
	return b
}

// replace ends the daemon and has a newer program take its place: the same process, lock and socket, and the queue as
// it is on disk.
func (d *Daemon) replace(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Executable string `json:"executable"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&body); err != nil || !filepath.IsAbs(body.Executable) {
		return fault.Malformed("replacement_malformed", `say by which program: {"executable":"/path/of/stega"}`)
	}
	if err := sound(r.Context(), body.Executable); err != nil {
		return err
	}
	d.mu.Lock()
	d.next = body.Executable
	d.mu.Unlock()
	err := reply(w, http.StatusAccepted, d.owner())
	d.stop(errReplace)
	return err
}

// sound checks that a program runs and is stega, before anything depends on it.
func sound(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "version", "-o", "json").Output()
	var v struct {
		Version string `json:"version"`
	}
	if err == nil {
		err = json.Unmarshal(out, &v)
	}
	if err == nil && v.Version == "" {
		err = errors.New("it says no version")
	}
	if err != nil {
		return fault.Invalid("replacement_unsound", "%s cannot take over: it does not run as stega does", program).Because(err)
	}
	return nil
}

// The environment of a daemon that takes over, and of one that somebody waits for.
const (
	envLock   = "STEGA_DAEMON_LOCK_FD"
	envSocket = "STEGA_DAEMON_SOCKET_FD"
	envReady  = "STEGA_DAEMON_READY_FD"
)

// handOver becomes the newer program. It returns only when that fails.
func (d *Daemon) handOver() error {
	socket, err := d.door.file()
	if err != nil {
		d.door.close()
		return fmt.Errorf("hand the socket over: %w", err)
	}
	env := clean(os.Environ())
	for name, file := range map[string]*os.File{envLock: d.lock.file, envSocket: socket} {
		fd, err := duplicate(file)
		if err != nil {
			d.door.close()
			return fmt.Errorf("hand over: %w", err)
		}
		env = append(env, name+"="+strconv.Itoa(fd))
	}
	d.log.Info("a newer program takes over", "program", d.next)
	err = become(d.next, []string{d.next, "daemon", "run"}, env)
	d.door.close()
	return fault.Unavailable("daemon_not_replaced", "%s could not take over", d.next).WithHint("start it with: stega daemon start").Because(err)
}

// clean is the environment without what is for one process alone.
func clean(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case envLock, envSocket, envReady, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
		default:
			kept = append(kept, e)
		}
	}
	return kept
}

// Inherit finds what was handed over to this process: by the daemon before it, or a socket by systemd.
func Inherit(getenv func(string) string) (*Inherited, error) {
	open := func(name string) (*os.File, error) {
		v := getenv(name)
		if v == "" {
			return nil, nil
		}
		fd, err := strconv.Atoi(v)
		if err != nil || fd < 3 {
			return nil, fault.Usage("inheritance_invalid", "%s=%s is no file that can be handed over", name, v)
		}
		closeOnExec(fd)
		return os.NewFile(uintptr(fd), name), nil
	}
	lock, err := open(envLock)
	if err != nil {
		return nil, err
	}
	socket, err := open(envSocket)
	if err != nil {
		return nil, err
	}
	if n := getenv("LISTEN_FDS"); socket == nil && n != "" && getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		if n != "1" {
			return nil, fault.Usage("sockets_too_many", "systemd hands over %s sockets, and the daemon has one", n).WithHint("the unit stega.socket needs one ListenStream")
		}
		closeOnExec(3)
		socket = os.NewFile(3, "LISTEN_FDS")
	}
	if lock == nil && socket == nil {
		return nil, nil
	}
	return &Inherited{Lock: lock, Socket: socket}, nil
}
