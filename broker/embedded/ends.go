package embedded

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"
)

// Queues are empty at each start, and with them the counts of deliveries. A message that ends its process would do so
// for ever. So the folder remembers the last starts that followed an unclean end: each is one more delivery of every
// message that was emitted before it and comes again.

// maxEnds is how many unclean ends are remembered; it is more than any reader of the counts distinguishes.
const maxEnds = 32

// ends is what the folder remembers of earlier runs.
type ends struct {
	path string
	log  *slog.Logger

	Running bool        `json:"running"` // there was no Close
	Unclean []time.Time `json:"unclean"` // the starts that followed an unclean end, oldest first
}

// openEnds reads what the folder remembers, and notes that a run has begun. What cannot be read or written is of no
// further consequence: messages then count as new.
func openEnds(dir string, now time.Time, log *slog.Logger) *ends {
	e := &ends{path: filepath.Join(dir, "ends.json"), log: log}
	if text, err := os.ReadFile(e.path); err == nil {
		if err := json.Unmarshal(text, e); err != nil {
			log.Warn("how earlier runs of the broker ended cannot be read", "file", e.path, "error", err)
		}
	}
	if e.Running {
		e.Unclean = append(e.Unclean, now)
		e.Unclean = e.Unclean[max(0, len(e.Unclean)-maxEnds):]
	}
	slices.SortFunc(e.Unclean, time.Time.Compare)
	e.save(true)
	return e
}

func (e *ends) save(running bool) {
	e.Running = running
	text, err := json.Marshal(e)
	if err == nil {
		err = os.WriteFile(e.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(e.path+".new", e.path)
	}
	if err != nil {
		e.log.Warn("how this run of the broker ends cannot be noted", "file", e.path, "error", err)
	}
}

// after returns how many runs that ended uncleanly a message may have been delivered in, at most.
func (e *ends) after(emitted time.Time) int {
	first := sort.Search(len(e.Unclean), func(i int) bool { return e.Unclean[i].After(emitted) })
	return len(e.Unclean) - first
}
