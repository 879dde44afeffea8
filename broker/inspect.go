package broker

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// Inspector is implemented by a broker whose parts can vanish while a process runs: an operator can delete a queue, a
// binding, or a permission.
type Inspector interface {
	// Inspect lists what a process lacks: the exchanges and the log, and of the services in t their queues and bindings.
	// The error is that of a broker that cannot be asked.
	Inspect(ctx context.Context, t Topology) ([]Lack, error)
}

// Lack is a part of the topology that is missing or may not be used.
type Lack struct {
	Part    string // such as "queue stega.returns.events"
	Service string // whose part it is; empty for what all share
	Err     error  // a fault that says what to do
}

// lackAgain is how often LackLog repeats what is missing.
const lackAgain = time.Minute

// LackLog logs what an Inspector finds missing: when it changes, and again each minute.
type LackLog struct {
	Log *slog.Logger

	last string
	at   time.Time
}

// Report takes the result of an inspection.
func (l *LackLog) Report(lacks []Lack) {
	texts := make([]string, len(lacks))
	for i, one := range lacks {
		texts[i] = one.Err.Error()
	}
	text := strings.Join(texts, "; ")
	switch {
	case text == "" && l.last != "":
		l.Log.Info("the broker has everything again")
	case text != l.last || text != "" && time.Since(l.at) > lackAgain:
		l.Log.Error("the broker lacks parts of its topology: run stega migrate", "missing", text)
		l.at = time.Now()
	}
	l.last = text
}
