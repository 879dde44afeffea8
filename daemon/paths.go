package daemon

import (
	"errors"
	"os"
	"path/filepath"

	"stega/fault"
	"stega/internal/files"
)

// maxSocketPath is how long the path of a socket may be: the least that systems have room for, less the byte that
// ends it.
const maxSocketPath = 103

// Paths are where a daemon has its socket and its files.
type Paths struct {
	Candidates []Candidate // of the socket, the best first
	State      string      // the folder of lock, log, queues and caches
}

// Candidate is a place where the socket may be.
type Candidate struct {
	Path string `json:"path"`
	From string `json:"from"`   // what names it
	Ours bool   `json:"-"`      // its folder is made for the daemon alone, so its permissions may be put right
	Here bool   `json:"usable"` // it can be used at present
}

// Locate finds the paths from environment variables: $STEGA_SOCKET alone when it is set, else $XDG_RUNTIME_DIR, which
// can vanish at logout, and then the folder for state, which stays.
func Locate(getenv func(string) string) (Paths, error) {
	state := getenv("XDG_STATE_HOME")
	if state == "" {
		home := getenv("HOME")
		if home == "" {
			return Paths{}, fault.Usage("home_unknown",
				"neither HOME nor XDG_STATE_HOME is set, so the daemon has no place for its files").
				WithHint("set HOME")
		}
		state = filepath.Join(home, ".local", "state")
	}
	p := Paths{State: filepath.Join(state, "stega")}
	if v := getenv("STEGA_SOCKET"); v != "" {
		if !filepath.IsAbs(v) {
			return p, fault.Usage("socket_path_relative", "STEGA_SOCKET=%s is not an absolute path", v).
				WithHint("write it from the root on")
		}
		p.Candidates = []Candidate{{Path: v, From: "STEGA_SOCKET", Here: true}}
		return p, short(v)
	}
	if v := getenv("XDG_RUNTIME_DIR"); v != "" {
		c := Candidate{Path: filepath.Join(v, "stega", "daemon.sock"), From: "XDG_RUNTIME_DIR", Ours: true}
		c.look()
		p.Candidates = append(p.Candidates, c)
	}
	last := Candidate{Path: filepath.Join(p.State, "daemon.sock"), From: "state folder", Ours: true, Here: true}
	p.Candidates = append(p.Candidates, last)
	if p.Candidates[0].Here {
		return p, nil
	}
	return p, short(last.Path)
}

// look finds out whether a candidate can be used: the folder that XDG_RUNTIME_DIR names is the system's to make.
func (c *Candidate) look() {
	if c.From != "XDG_RUNTIME_DIR" {
		return
	}
	info, err := os.Stat(filepath.Dir(filepath.Dir(c.Path)))
	c.Here = err == nil && info.IsDir() && short(c.Path) == nil
}

// Socket is where the socket belongs now.
func (p Paths) Socket() Candidate {
	for _, c := range p.Candidates {
		if c.Here {
			return c
		}
	}
	return p.Candidates[len(p.Candidates)-1]
}

func (p Paths) lock() string { return filepath.Join(p.State, "daemon.lock") }

// Log is the file that the daemon logs to.
func (p Paths) Log() string { return filepath.Join(p.State, "daemon.log") }

func (p Paths) servers() string { return filepath.Join(p.State, "servers") }

func short(path string) error {
	if len(path) <= maxSocketPath {
		return nil
	}
	return fault.Usage("socket_path_too_long",
		"the path of the socket has %d bytes, and %d is the most that there is room for: %s", len(path), maxSocketPath,
		path).
		WithHint("set STEGA_SOCKET to a shorter one, in a folder of yours with mode 0700")
}

// private makes a folder that is the user's alone, and takes from others what they may do in one that is there.
func private(dir string) error {
	unusable := func(err error) error {
		return fault.Unavailable("folder_unusable", "the folder %s cannot be used", dir).
			WithHint("check that it may be written, and that the disk has room").Because(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return unusable(err)
	}
	if files.Owner(info) != os.Getuid() {
		return foreign(dir, info)
	}
	if !files.Private(info) {
		if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder is entered by the x bit
			return unusable(err)
		}
	}
	return nil
}

func foreign(dir string, info os.FileInfo) error {
	return fault.New(fault.KindForbidden, "folder_foreign", "the folder %s belongs to the user %d, and not to you", dir,
		files.Owner(info)).
		WithHint("name a folder of yours: set STEGA_SOCKET, XDG_RUNTIME_DIR or XDG_STATE_HOME")
}

// tight checks that a folder that others made is the user's alone.
func tight(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return private(dir)
	}
	if err != nil {
		return fault.Unavailable("folder_unusable", "the folder %s cannot be used", dir).
			WithHint("check that it may be entered").
			Because(err)
	}
	if files.Owner(info) != os.Getuid() {
		return foreign(dir, info)
	}
	if !files.Private(info) {
		return fault.New(fault.KindForbidden, "folder_open", "others may enter the folder %s of the socket (mode %04o)",
			dir, info.Mode().Perm()).
			WithHint("say: chmod 700 %s", dir)
	}
	return nil
}
