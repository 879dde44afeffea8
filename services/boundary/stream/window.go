package stream

import "sort"

// window is the end of the log in memory, bounded in bytes.
type window struct {
	entries []*entry // from head on, in order
	head    int
	bytes   int
	limit   int
	floor   Position       // what stood before the first entry; every later one is in the window
	whole   bool           // nothing ever stood before the first entry
	origin  uint64         // where the first entry of the log stood
	tail    Position       // the last entry that was read
	ids     map[string]int // how many entries of each event it holds
}

// begin empties the window. The next entry will be the first that it holds; whole says that it will be the first of
// the log, which stands at origin.
func (w *window) begin(whole bool, origin uint64) {
	*w = window{limit: w.limit, whole: whole, origin: origin}
}

func (w *window) add(e *entry) {
	if w.tail.ID == "" && e.Position > w.origin {
		w.floor.Position, w.whole = e.Position-1, false
	}
	if w.ids == nil {
		w.ids = map[string]int{}
	}
	e.again = w.ids[e.ID] > 0
	w.ids[e.ID]++
	w.entries = append(w.entries, e)
	w.bytes += e.size()
	w.tail = e.position()
	for w.bytes > w.limit && w.head < len(w.entries)-1 {
		oldest := w.entries[w.head]
		w.entries[w.head] = nil
		if w.ids[oldest.ID]--; w.ids[oldest.ID] == 0 {
			delete(w.ids, oldest.ID)
		}
		w.head++
		w.bytes -= oldest.size()
		w.floor, w.whole = oldest.position(), false
	}
	if w.head > len(w.entries)/2 && w.head > 64 {
		n := copy(w.entries, w.entries[w.head:])
		clear(w.entries[n:])
		w.entries, w.head = w.entries[:n], 0
	}
}

// covers reports whether everything from a position on is in the window.
func (w *window) covers(next uint64) bool {
	return w.whole || w.tail.ID != "" && next > w.floor.Position
}

// from lists the entries from a position on that the window covers. The list is good while the lock is held.
func (w *window) from(next uint64) []*entry {
	kept := w.entries[w.head:]
	i := sort.Search(len(kept), func(i int) bool { return kept[i].Position >= next })
	return kept[i:]
}

// at finds the id of the entry at a position. inside says whether the window can tell.
func (w *window) at(position uint64) (id string, inside bool) {
	if position == w.floor.Position && w.floor.ID != "" {
		return w.floor.ID, true
	}
	kept := w.entries[w.head:]
	if len(kept) == 0 || position < kept[0].Position || position > w.tail.Position {
		return "", false
	}
	i := sort.Search(len(kept), func(i int) bool { return kept[i].Position >= position })
	if kept[i].Position != position {
		return "", true // nothing can be read there
	}
	return kept[i].ID, true
}
