package cmd

import (
	"io"
	"sync"
	"time"
)

// live is a line on a terminal that says what is waited for. Elsewhere it says nothing.
type live struct {
	w     io.Writer
	began time.Time
	stop  chan struct{}
	done  sync.WaitGroup

	mu   sync.Mutex
	text string
}

// liveAfter keeps the line away from what is quick.
const liveAfter = 300 * time.Millisecond

// newLive begins a line; it ends with end.
func (g *globals) newLive(w io.Writer, text string) *live {
	l := &live{w: w, began: time.Now(), stop: make(chan struct{}), text: text}
	if !g.quiet && lively(w) {
		l.done.Go(l.run)
	}
	return l
}

func (l *live) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = sprintf(format, args...)
}

func (l *live) run() {
	marks := []rune(`-\|/`)
	if unicodeTerm() {
		marks = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			if time.Since(l.began) > liveAfter {
				printf(l.w, "\r\x1b[K")
			}
			return
		case <-tick.C:
		}
		if took := time.Since(l.began); took > liveAfter {
			l.mu.Lock()
			text := l.text
			l.mu.Unlock()
			printf(l.w, "\r\x1b[K%s %s  %.1f s", string(marks[n%len(marks)]), text, took.Seconds())
		}
	}
}

// end removes the line.
func (l *live) end() {
	select {
	case <-l.stop:
		return
	default:
	}
	close(l.stop)
	l.done.Wait()
}
