package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"

	"stega/fault"
)

// Newer reports whether a build is newer than another: by version, and for builds of one version by their time.
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

// ThisBuild returns the build of the running program.
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

// clean returns an environment without the variables that are for one process alone.
func clean(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case envReady, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
		default:
			kept = append(kept, e)
		}
	}
	return kept
}

// Inherit returns the socket that systemd opened for this process; nil when it opened none.
func Inherit(getenv func(string) string) (*os.File, error) {
	n := getenv("LISTEN_FDS")
	if n == "" || getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	if n != "1" {
		return nil, fault.Usage("sockets_too_many", "systemd hands over %s sockets, and the daemon takes one", n).
			WithHint("give the unit stega.socket one ListenStream")
	}
	closeOnExec(3)
	return os.NewFile(3, "LISTEN_FDS"), nil
}
