package daemon

import (
	"math"
	"sync"
)

// freshness decides whether a cached answer may be given without asking. It holds when nothing can have changed the
// answer since the server read it, as far as pushes tell: the server says of each answer at which position of its log
// it began to read, so an answer is good while no event after that position has changed what it depends on, and every
// event since has been heard of.
//
// Nothing of it is kept on disk: a daemon that starts asks once for each answer.
type freshness struct {
	mu         sync.Mutex
	connected  bool            // pushes come, and none is missing since floor
	generation uint64          // of the log; another log has other positions
	floor      uint64          // nothing is known of what happened before
	seen       uint64          // pushes came up to here
	need       uint64          // somebody has been told of the log up to here, by an answer or otherwise
	heard      uint64          // an outcome or an event up to here was told
	clock      uint64          // counts reads and writes
	barrier    uint64          // when the last write was made through the daemon
	blind      uint64          // when something was told last while no pushes came, perhaps of another log
	changed    map[fact]uint64 // where a fact last changed
	answers    map[string]mark // by key
}

// mark says what a cached answer is as of.
type mark struct {
	generation, position, began uint64
	facts                       []fact
}

// ticket is taken before the server is asked.
type ticket struct{ generation, began uint64 }

// maxFacts bounds how many changes are remembered one by one.
const maxFacts = 1 << 14

func newFreshness() *freshness {
	return &freshness{changed: map[fact]uint64{}, answers: map[string]mark{}}
}

// begin is called before a read goes to the server.
func (f *freshness) begin() ticket {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock++
	return ticket{generation: f.generation, began: f.clock}
}

// newest reports whether no later read of the same answer came back first.
func (f *freshness) newest(key string, t ticket) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, ok := f.answers[key]
	return !ok || t.generation == f.generation && old.began < t.began
}

// stored notes an answer that was read at a position or later. One that depends on no known fact is never fresh.
func (f *freshness) stored(key string, position uint64, facts []fact, t ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.answers) > 2*maxAnswers { // of answers that the cache has long dropped
		clear(f.answers)
	}
	f.answers[key] = mark{generation: t.generation, position: position, began: t.began, facts: facts}
	f.tell(position, t.generation)
}

// dropped forgets an answer.
func (f *freshness) dropped(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.answers, key)
}

// fresh reports whether an answer may be given as it is.
func (f *freshness) fresh(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.answers[key]
	return ok && f.holds(m)
}

func (f *freshness) holds(m mark) bool {
	if !f.connected || len(m.facts) == 0 || m.generation != f.generation || m.began <= f.barrier || m.position < f.floor {
		return false
	}
	if m.position < f.need && f.seen < f.need {
		return false // what was told may be what changed it, and its push is still on the way
	}
	for _, on := range m.facts {
		if f.changed[on] > m.position {
			return false
		}
	}
	return true
}

// outdated reports whether an answer is older than what the daemon has told of since, or may be: whoever has heard
// that a write is settled must not be shown what was there before it. Of an answer that depends on no known fact it
// cannot be said. One that was read when another connection stood, or by another daemon, is taken for older than all
// that was told since.
func (f *freshness) outdated(key string, facts []fact) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.answers[key]
	known := ok && m.generation == f.generation
	if !known {
		m = mark{}
	}
	switch {
	case len(facts) == 0:
		return false
	case known && (m.position < f.floor || m.began <= f.blind), !known && f.heard > 0:
		return true
	case m.position < f.heard && f.seen < f.heard:
		return true // what was told may be what changed it, and its push never came
	}
	for _, on := range facts {
		if f.changed[on] > m.position {
			return true
		}
	}
	return false
}

// count is how many answers are fresh.
func (f *freshness) count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.answers {
		if f.holds(m) {
			n++
		}
	}
	return n
}

// push takes an event.
func (f *freshness) push(position uint64, topic, subject string) {
	changed, vague := changes(topic, subject)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changed {
		if c == everything {
			f.floor = max(f.floor, position)
			continue
		}
		if f.changed[c] != math.MaxUint64 {
			f.changed[c] = max(f.changed[c], position)
		}
	}
	for _, v := range vague {
		f.changed[v] = math.MaxUint64
	}
	f.seen = max(f.seen, position)
	if len(f.changed) > maxFacts {
		f.forget()
	}
}

// forget gives up telling changes apart: whatever was read before now is asked for again.
func (f *freshness) forget() {
	f.floor = max(f.floor, f.seen)
	for c, at := range f.changed {
		if at != math.MaxUint64 {
			delete(f.changed, c)
		}
	}
	if len(f.changed) > maxFacts/2 {
		f.reset()
	}
}

// opened says that a connection stands, and where the log then is; pushes that were missed may be on their way.
func (f *freshness) opened(position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.need = max(f.need, position)
}

// standing says that pushes come now: all since the last one when they were resumed, else only those after a position.
func (f *freshness) standing(position uint64, resumed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !resumed {
		f.reset()
		f.floor, f.seen, f.need, f.heard = position, position, position, 0
	}
	f.connected, f.blind = true, 0
}

// reset begins anew, as with another log.
func (f *freshness) reset() {
	f.generation++
	clear(f.changed)
	clear(f.answers)
}

// lost says that no pushes come at present.
func (f *freshness) lost() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connected = false
}

// wrote says that a write went through the daemon: who made it must see what it did, before any push has come.
func (f *freshness) wrote() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock++
	f.barrier = f.clock
}

// told says that somebody has heard of the log up to a position: what he reads next must not be older.
func (f *freshness) told(position uint64, t ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(position, t.generation)
	if t.generation == f.generation {
		f.heard = max(f.heard, position)
	}
	if !f.connected {
		f.clock++
		f.blind = f.clock
	}
}

func (f *freshness) tell(position, generation uint64) {
	if generation == f.generation {
		f.need = max(f.need, position)
		return
	}
	f.clock++ // it may be a position of another log, which compares with nothing: what was read before it is asked for again
	f.barrier = f.clock
}

// now is a ticket for what is told by others than the server's answers.
func (f *freshness) now() ticket {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ticket{generation: f.generation, began: f.clock}
}
