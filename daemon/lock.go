package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"stega/fault"
	"stega/internal/files"
)

// Owner is the daemon that holds the lock.
type Owner struct {
	PID int `json:"pid"`
	Build
	Socket  string    `json:"socket"`
	Started time.Time `json:"started"`
}

// Lock is held by the one daemon of a user. The system releases it when its process ends, however it ends.
type Lock struct{ file *os.File }

// acquire takes the lock, or returns a fault that names the daemon which holds it.
func acquire(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Unavailable("daemon_lock_unusable", "the lock %s cannot be used", path).
			WithHint("check that its folder may be written, and that the disk has room").Because(err)
	}
	var free bool
	for try := 0; ; try++ {
		free, err = files.TryLock(file, false)
		if free || err != nil || try == 10 {
			break
		}
		time.Sleep(20 * time.Millisecond) // one that was killed may still be ending
	}
	if free {
		return &Lock{file: file}, nil
	}
	_ = file.Close()
	if err != nil {
		return nil, fault.Unavailable("daemon_lock_unusable", "the lock %s cannot be taken", path).
			WithHint("if it is on a network disk, set XDG_STATE_HOME to a local folder").
			Because(err)
	}
	o, _ := readOwner(path)
	return nil, fault.Conflict("daemon_running", "a daemon is running already, process %d, version %s, at %s", o.PID,
		o.Version, o.Socket).
		WithHint("use it, or end it with: stega daemon stop")
}

// write records the daemon that holds the lock.
func (l *Lock) write(o Owner) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if _, err = l.file.WriteAt(append(b, '\n'), 0); err == nil {
		err = l.file.Truncate(int64(len(b) + 1))
	}
	if err != nil {
		return fault.Unavailable("daemon_lock_unusable", "the lock of the daemon cannot be written").
			WithHint("check that the disk has room").
			Because(err)
	}
	return nil
}

// intact reports whether the lock is still the file at its path.
func (l *Lock) intact(path string) bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// Release releases the lock. The file stays, for removing it would race with the next daemon.
func (l *Lock) Release() { _ = l.file.Close() }

// Holder returns the daemon that holds the lock; false when none does.
func Holder(p Paths) (Owner, bool, error) {
	file, err := os.OpenFile(p.lock(), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return Owner{}, false, nil
	}
	if err != nil {
		return Owner{}, false, fmt.Errorf("read the lock: %w", err)
	}
	defer func() { _ = file.Close() }()
	free, err := files.TryLock(file, true)
	if err != nil {
		return Owner{}, false, fmt.Errorf("read the lock: %w", err)
	}
	if free {
		return Owner{}, false, nil
	}
	o, err := readOwner(p.lock())
	return o, true, err
}

func readOwner(path string) (o Owner, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return o, fmt.Errorf("read the lock: %w", err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("read the lock: %w", err)
	}
	return o, nil
}
