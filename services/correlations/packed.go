package correlations

import (
	"encoding/binary"
	"fmt"
	"slices"

	"stega/series"
)

// damaged wraps the error of rows that cannot be read with the command that repairs them.
func damaged(err error) error {
	return fmt.Errorf("%w: rebuild it with stega rebuild --service correlations", err)
}

// The hash of a year is FNV-1a of its packed form, so that appending data continues it.
const (
	hashStart = 14695981039346656037
	hashPrime = 1099511628211
)

// hashed continues a hash with data.
func hashed(hash uint64, data []byte) uint64 {
	for _, b := range data {
		hash = (hash ^ uint64(b)) * hashPrime
	}
	return hash
}

// stamp is a year of a symbol with its hash.
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
		return nil, damaged(series.ErrPacked)
	}
	stamps := make([]stamp, 0, len(data)/stampBytes+1)
	for ; len(data) > 0; data = data[stampBytes:] {
		stamps = append(stamps, stamp{int(binary.BigEndian.Uint16(data)), binary.BigEndian.Uint64(data[2:])})
	}
	return stamps, nil
}

// find returns the index of the stamp of a year, or where it is to be inserted.
func find(stamps []stamp, year int) (at int, found bool) {
	return slices.BinarySearchFunc(stamps, year, func(s stamp, year int) int { return s.year - year })
}
