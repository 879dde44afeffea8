package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stega/fault"
	"stega/internal/files"
)

// The verdicts of a check.
const (
	OK   = "ok"
	Note = "note" // nothing is wrong, and it is good to know
	Warn = "warn" // something works less well than it could
	Fail = "fail" // something does not work
)

// Finding is what the doctor found out about one thing.
type Finding struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	Hint    string `json:"hint,omitempty"`
	Fixed   bool   `json:"fixed,omitempty"`

	fix func() error
}

// Patient is what the doctor looks at.
type Patient struct {
	Paths  Paths
	Build  Build
	Server Server
	Prove  bool        // the server has to prove that it knows the token
	TLS    *tls.Config // nil: the usual one
	Config string      // the configuration file
	Tokens string      // the file with the token of this machine's server
	Fix    bool        // put right what is safe to
}

// Examine looks at everything that can be wrong.
func Examine(ctx context.Context, p Patient) []Finding {
	var all []Finding
	add := func(f ...Finding) {
		for i := range f {
			if f[i].fix == nil || !p.Fix {
				continue
			}
			if err := f[i].fix(); err != nil {
				f[i].Detail += "; it could not be put right: " + err.Error()
			} else {
				f[i].Verdict, f[i].Fixed, f[i].Detail, f[i].Hint = OK, true, f[i].Detail+"; put right", ""
			}
		}
		all = append(all, f...)
	}
	for _, c := range p.Paths.Candidates {
		add(p.candidate(c)...)
	}
	add(p.lockFinding(), p.disk(), p.mode("state folder", p.Paths.State, 0o700))
	add(p.mode("configuration", p.Config, 0o600), p.mode("token file", p.Tokens, 0o600))
	add(p.daemon(ctx)...)
	add(p.server(ctx)...)
	return all
}

// candidate looks at a place where the socket may be, and at its folder.
func (p Patient) candidate(c Candidate) []Finding {
	f := Finding{Name: "socket " + c.Path, Verdict: OK}
	if err := short(c.Path); err != nil {
		f.Verdict, f.Detail, f.Hint = Fail, err.Error(),
			"set STEGA_SOCKET to a shorter path, in a folder of yours with mode 0700"
		return []Finding{f}
	}
	dir := p.mode("socket folder", filepath.Dir(c.Path), 0o700)
	info, err := os.Lstat(c.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f.Verdict, f.Detail = Note, "is not there ("+c.From+")"
		if c.From == "XDG_RUNTIME_DIR" && !c.Here {
			f.Detail = "cannot be there: the folder that XDG_RUNTIME_DIR names does not exist, as after a logout; " +
				"the next place is used"
		}
		if dir.Verdict == Note {
			return []Finding{f}
		}
		return []Finding{dir, f}
	case err != nil:
		f.Verdict, f.Detail, f.Hint = Fail, "cannot be looked at: "+err.Error(), "check the permissions of its folder"
	case info.Mode()&os.ModeSocket == 0:
		f.Verdict, f.Detail, f.Hint = Fail, "is "+info.Mode().String()+", not a socket",
			"move it away, or set STEGA_SOCKET"
	case files.Owner(info) != os.Getuid():
		f.Verdict, f.Detail, f.Hint = Fail, fmt.Sprintf(
			"belongs to the user %d", files.Owner(info),
		), "set STEGA_SOCKET to a path in a folder of yours"
	case stale(c.Path):
		f.Verdict, f.Detail, f.Hint = Warn, "nobody listens on it: a daemon that was killed left it",
			"the next daemon replaces it; or run: stega doctor --fix"
		f.fix = func() error { return removeStale(c.Path) }
	case info.Mode().Perm() != 0o600:
		f.Verdict, f.Detail, f.Hint = Fail, fmt.Sprintf(
			"has the mode %04o, and 0600 is safe", info.Mode().Perm(),
		), "say: chmod 600 "+c.Path
		f.fix = func() error { return os.Chmod(c.Path, 0o600) }
	default:
		f.Detail = fmt.Sprintf("somebody listens, mode %04o (%s)", info.Mode().Perm(), c.From)
	}
	return []Finding{dir, f}
}

// removeStale removes the socket of a dead daemon, with the folder locked as a daemon does that binds.
func removeStale(path string) error {
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	return vacate(path)
}

// mode looks at the permissions of a file or folder.
func (p Patient) mode(what, path string, want os.FileMode) Finding {
	f := Finding{Name: what, Verdict: OK, Detail: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f.Verdict, f.Detail = Note, path+" is not there"
	case err != nil:
		f.Verdict, f.Detail, f.Hint = Fail, path+" cannot be looked at: "+err.Error(),
			"check the permissions of its folder"
	case files.Owner(info) != os.Getuid():
		f.Verdict, f.Detail, f.Hint = Fail, fmt.Sprintf(
			"%s belongs to the user %d", path, files.Owner(info),
		), "name another by the environment, or change its owner"
	case !files.Private(info):
		f.Verdict = Fail
		f.Detail, f.Hint = fmt.Sprintf(
			"%s has the mode %04o, so others may use it", path, info.Mode().Perm(),
		), fmt.Sprintf(
			"say: chmod %o %s", want, path,
		)
		f.fix = func() error { return os.Chmod(path, want) }
	case info.Mode().Perm()&0o600 != 0o600:
		f.Verdict = Fail
		f.Detail, f.Hint = fmt.Sprintf(
			"%s has the mode %04o, so you may not use it", path, info.Mode().Perm(),
		), fmt.Sprintf(
			"say: chmod %o %s", want, path,
		)
		f.fix = func() error { return os.Chmod(path, want) }
	default:
		f.Detail = fmt.Sprintf("%s, mode %04o", path, info.Mode().Perm())
	}
	return f
}

func (p Patient) lockFinding() Finding {
	f := Finding{Name: "lock", Verdict: OK}
	o, held, err := Holder(p.Paths)
	switch {
	case err != nil && !held:
		f.Verdict, f.Detail, f.Hint = Fail, err.Error(), "check the permissions of "+p.Paths.lock()
	case err != nil:
		f.Verdict, f.Detail, f.Hint = Warn, "another program holds it, which is not known: "+err.Error(),
			"a daemon may be starting; see: fuser "+p.Paths.lock()
	case !held:
		f.Verdict, f.Detail = Note, "nobody holds it, so no daemon runs; commands start one"
	default:
		f.Detail = fmt.Sprintf(
			"process %d holds it, version %s, since %s, at %s", o.PID, o.Version,
			o.Started.Local().Format(time.DateTime),
			o.Socket,
		)
		if info, err := os.Lstat(o.Socket); err != nil || info.Mode()&os.ModeSocket == 0 {
			f.Verdict, f.Hint = Warn, "it binds its socket anew within seconds; if it does not: stega daemon restart"
			f.Detail += ", whose socket is gone"
		}
	}
	return f
}

// little is how much room a disk must have for the queue to be of use.
const little = 64 << 20

func (p Patient) disk() Finding {
	f := Finding{Name: "disk", Verdict: OK}
	dir := p.Paths.State
	for _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir); _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	room, err := files.Room(dir)
	if err != nil {
		f.Verdict, f.Detail, f.Hint = Warn, "how much room there is cannot be seen: "+err.Error(),
			"check that "+dir+" can be entered"
		return f
	}
	f.Detail = fmt.Sprintf("%d MiB are free for %s", room>>20, p.Paths.State)
	switch {
	case room < 1<<20:
		f.Verdict, f.Hint = Fail, "make room: writes cannot be queued"
	case room < little:
		f.Verdict, f.Hint = Warn, "make room: large writes cannot be queued"
	}
	return f
}

// daemon asks the daemon how it is.
func (p Patient) daemon(ctx context.Context) []Finding {
	d, err := find(ctx, ConnectOptions{Paths: p.Paths, Build: p.Build})
	if errors.Is(err, errNone) {
		return []Finding{{
			Name:    "daemon",
			Verdict: Note,
			Detail:  "does not run; commands start it, or: stega daemon start",
		}}
	}
	var s Status
	if err == nil {
		defer d.HTTP.CloseIdleConnections()
		err = d.Ask(ctx, "GET", "/daemon/status", &s)
	}
	if err != nil {
		f := Finding{
			Name:    "daemon",
			Verdict: Fail,
			Detail:  "does not answer: " + err.Error(),
			Hint:    "see: stega daemon logs; then: stega daemon restart",
		}
		if errors.Is(err, errHangs) {
			hung := fault.Of(err)
			f.Detail, f.Hint = hung.Error(), hung.Hint
		}
		return []Finding{f}
	}
	f := Finding{
		Name:    "daemon",
		Verdict: OK,
		Detail:  fmt.Sprintf("process %d, %s; this program is %s", s.PID, describe(s.Build), describe(p.Build)),
	}
	switch {
	case p.Build.Newer(s.Build):
		f.Verdict, f.Hint = Warn, "the daemon is older; the next command replaces it, or: stega daemon restart"
	case s.Newer(p.Build):
		f.Verdict, f.Hint = Warn, "this program is older than the daemon: upgrade it"
	}
	findings := []Finding{f}
	if s.Refused > 0 {
		findings = append(findings, Finding{
			Name:    "other users",
			Verdict: Warn,
			Detail:  fmt.Sprintf("%d connections of other users were refused", s.Refused),
			Hint:    "see who: stega daemon logs",
		})
	}
	for _, one := range s.Servers {
		findings = append(findings, linkFinding(one), queueFinding(one), Finding{
			Name: "cache of " + one.URL, Verdict: OK,
			Detail: fmt.Sprintf("%d answers, %d KiB", one.Cache.Answers, one.Cache.Bytes>>10),
		})
	}
	return findings
}

func linkFinding(s ServerStatus) Finding {
	f := Finding{
		Name:    "connection to " + s.URL,
		Verdict: OK,
		Detail:  fmt.Sprintf("%s since %s", s.Link.State, s.Link.Since.Local().Format(time.DateTime)),
	}
	if s.Link.Fault != nil {
		f.Verdict, f.Hint = Warn, s.Link.Fault.Hint
		f.Detail += ": " + s.Link.Fault.Detail
	}
	return f
}

func queueFinding(s ServerStatus) Finding {
	q := s.Queue
	f := Finding{Name: "queue of " + s.URL, Verdict: OK, Detail: "is empty"}
	if n := q.Queued + q.Sending + q.Accepted; n > 0 {
		f.Verdict, f.Detail = Note, fmt.Sprintf("%d writes wait, %d KiB", n, q.Bytes>>10)
	}
	if q.Failed > 0 {
		f.Verdict, f.Hint = Warn, "settle them: stega queue list"
		f.Detail = strings.TrimPrefix(f.Detail+fmt.Sprintf("; %d were refused", q.Failed), "is empty; ")
	}
	return f
}
