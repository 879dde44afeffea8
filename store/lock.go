package store

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun/dialect"
)

// lockSlots is how many locks the names of a service are spread over: few enough for one unit to take all of them.
const lockSlots = 64

// Lock holds other units apart until this one ends: two units that name the same thing, and not both as shared, run
// what follows one after the other. A unit that reads what units of other lanes write, to announce it, names what it
// reads before it reads: then whoever of two comes last sees what the other wrote. Names that share a slot hold each
// other up too.
//
// A unit takes all its locks by one call, or in the same order as others do. On SQLite units never overlap, and Lock
// does nothing.
func (t *Tx) Lock(shared, exclusive []string) {
	if t.Dialect().Name() != dialect.PG {
		return
	}
	modes := map[uint32]string{}
	for _, name := range shared {
		modes[slot(name)] = "_shared"
	}
	for _, name := range exclusive {
		modes[slot(name)] = ""
	}
	if len(modes) == 0 {
		return
	}
	space := fnv.New32a()
	_, _ = space.Write([]byte("stega units of " + t.db.service))
	var calls []string
	for _, s := range slices.Sorted(maps.Keys(modes)) {
		calls = append(calls, fmt.Sprintf("pg_advisory_xact_lock%s(%d, %d)", modes[s], int32(space.Sum32()), s))
	}
	t.session.queue("SELECT " + strings.Join(calls, ", "))
}

func slot(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32() % lockSlots
}
