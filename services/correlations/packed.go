package correlations

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"stega/civil"
)

// point is the return of a day that has a price, which the first day of a series does not have: there it is NaN.
type point struct {
	day   civil.Date
	value float64
}

func (p point) same(o point) bool {
	return p.day == o.day && (p.value != p.value && o.value != o.value || math.Float64bits(p.value) == math.Float64bits(o.value))
}

// A packed year is, for each day in order, a uvarint of the days since the day before (the first: since the first of January) and eight bytes of the
// return. Equal points have equal bytes, and what is appended to a year is what its packed form goes on with.
func pack(out []byte, last civil.Date, points []point) []byte {
	for _, p := range points {
		value := p.value
		if value != value {
			value = math.NaN() // one NaN for all
		}
		out = binary.AppendUvarint(out, uint64(p.day-last))
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(value))
		last = p.day
	}
	return out
}

func newYear(year int) civil.Date { return civil.Of(year, 1, 1) }

var errPacked = errors.New("a packed series is damaged: rebuild it with stega rebuild --service correlations")

// unpack reads a packed year.
func unpack(year int, data []byte) ([]point, error) {
	points := make([]point, 0, len(data)/9+1)
	day := newYear(year)
	for len(data) > 0 {
		since, n := binary.Uvarint(data)
		if n <= 0 || len(data) < n+8 || since > 366 {
			return nil, errPacked
		}
		day += civil.Date(since)
		points = append(points, point{day, math.Float64frombits(binary.LittleEndian.Uint64(data[n:]))})
		data = data[n+8:]
	}
	return points, nil
}

// merge puts points over others, both ordered by day, and says whether any is new or differs.
func merge(old, fresh []point) (all []point, changed bool) {
	all = make([]point, 0, len(old)+len(fresh))
	for len(old) > 0 || len(fresh) > 0 {
		switch {
		case len(fresh) == 0 || len(old) > 0 && old[0].day < fresh[0].day:
			all, old = append(all, old[0]), old[1:]
		case len(old) == 0 || fresh[0].day < old[0].day:
			all, fresh, changed = append(all, fresh[0]), fresh[1:], true
		default:
			changed = changed || !old[0].same(fresh[0])
			all, old, fresh = append(all, fresh[0]), old[1:], fresh[1:]
		}
	}
	return all, changed
}

// The hash of a year is FNV-1a of its packed form, and so goes on when something is appended.
const (
	hashStart = 14695981039346656037
	hashPrime = 1099511628211
)

func hashed(hash uint64, data []byte) uint64 {
	for _, b := range data {
		hash = (hash ^ uint64(b)) * hashPrime
	}
	return hash
}

// stamp is the hash of a year of a symbol.
type stamp struct {
	year int
	hash uint64
}

const stampBytes = 10

func packStamps(stamps []stamp) []byte {
	out := make([]byte, 0, stampBytes*len(stamps))
	for _, s := range stamps {
		out = binary.BigEndian.AppendUint16(out, uint16(s.year))
		out = binary.BigEndian.AppendUint64(out, s.hash)
	}
	return out
}

func unpackStamps(data []byte) ([]stamp, error) {
	if len(data)%stampBytes != 0 {
		return nil, errPacked
	}
	stamps := make([]stamp, 0, len(data)/stampBytes+1)
	for ; len(data) > 0; data = data[stampBytes:] {
		stamps = append(stamps, stamp{int(binary.BigEndian.Uint16(data)), binary.BigEndian.Uint64(data[2:])})
	}
	return stamps, nil
}

// find is where the stamp of a year is, or has to be.
func find(stamps []stamp, year int) (at int, found bool) {
	return slices.BinarySearchFunc(stamps, year, func(s stamp, year int) int { return s.year - year })
}
