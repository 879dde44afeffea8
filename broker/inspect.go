package broker

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// Inspector is implemented by a broker whose parts can vanish while a process runs: an operator can delete a queue, a
// binding or a permission.
type Inspector interface {
	// Inspect returns the missing parts: of the exchanges and the log, and of the queues and bindings of the services
	// in t. An error means that the broker could not be inspected.
	Inspect(ctx context.Context, t Topology) ([]Lack, error)
}

// Lack is a part of the topology that is missing or may not be used.
type Lack struct {
	Part    string // such as "queue stega.returns.events"
	Service string // of the part; empty for a shared one
	Err     error  // a fault with a hint
}

// lackAgain is the interval at which LackLog repeats what is missing.
const lackAgain = time.Minute

// LackLog logs the missing parts when they change, and again each minute.
type LackLog struct {
	Log *slog.Logger

	last string
	at   time.Time
}

// Report logs the result of an inspection.
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
