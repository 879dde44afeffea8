package store

import "time"

// How far back the relay looks.
const (
	floorAfter = 250 * time.Millisecond // a row whose unit commits so long after a higher row was seen is found at once
	floorFull  = 500 * time.Millisecond // any other is found by a scan of all, which begins so often
	floorMark  = 25 * time.Millisecond
)

// floor says from which id on a scan for pending rows begins. On PostgreSQL a scan of all steps over what was deleted since the last
// vacuum, which under load costs more than the rows that it finds. It is no high-water mark: what lies below is looked
// at again and again, only not each time.
type floor struct {
	marks []mark // how far the scans had come, the oldest first
	full  time.Time
}

type mark struct {
	at time.Time
	id int64
}

// seen is told that a scan came to the end, and the highest id that was seen.
func (f *floor) seen(id int64, now time.Time) {
	if n := len(f.marks); n > 0 && now.Sub(f.marks[n-1].at) < floorMark {
		return
	}
	f.marks = append(f.marks, mark{now, id})
}

// next is the id after which the next scan begins.
func (f *floor) next(now time.Time) int64 {
	for len(f.marks) > 1 && now.Sub(f.marks[1].at) >= floorAfter {
		f.marks = f.marks[1:]
	}
	if now.Sub(f.full) >= floorFull {
		f.full = now
		return 0
	}
	if len(f.marks) == 0 || now.Sub(f.marks[0].at) < floorAfter {
		return 0
	}
	return f.marks[0].id
}
