package process

import "sync"

// shares bounds how many of a thing one caller, and all callers together, have at a time.
type shares struct {
	each, total int

	mu  sync.Mutex
	of  map[string]int
	all int
}

// take takes a place for a caller. Without one left it returns nil.
func (s *shares) take(caller string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.total || s.of[caller] >= s.each {
		return nil
	}
	if s.of == nil {
		s.of = map[string]int{}
	}
	s.all++
	s.of[caller]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[caller]--; s.of[caller] == 0 {
			delete(s.of, caller)
		}
	}
}
