package daemon

import (
	"fmt"
	"os"
	"sync"
)

// maxLog is how large the log gets before it is put aside, and oldLogs how many of those are kept.
const (
	maxLog  = 4 << 20
	oldLogs = 2
)

// LogFile is the log of the daemon, which rotates by its size. What cannot be written is dropped: a full disk must
// not stop the daemon.
type LogFile struct {
	path string
	most int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenLog opens the log for appending.
func OpenLog(path string) (*LogFile, error) {
	l := &LogFile{path: path, most: maxLog}
	return l, l.open()
}

func (l *LogFile) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open the log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write appends, and always says that it did.
func (l *LogFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(b)) > l.most && l.size > 0 {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(b)
		l.size += int64(n)
	}
	return len(b), nil
}

func (l *LogFile) rotate() {
	_ = l.file.Close()
	for i := oldLogs; i > 0; i-- {
		from := l.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", l.path, i-1)
		}
		_ = os.Rename(from, fmt.Sprintf("%s.%d", l.path, i))
	}
	l.file, l.size = nil, 0
	_ = l.open()
}

// Close closes the log.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
