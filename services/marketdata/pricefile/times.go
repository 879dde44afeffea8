package pricefile

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stega/civil"
)

// instant returns the local day of a second since 1970. Without a time zone only midnight of UTC has one: any other
// time may be in the next or the previous day of the exchange.
func (d *dates) instant(second int64, b []byte, line int) (int32, string) {
	if second/daySeconds >= 84_006 || second/daySeconds <= -62_091 {
		return 0, fmt.Sprintf("the time %s is not between the years %d and %d", quote(b), firstYear, lastYear)
	}
	if d.zone != nil {
		at := time.Unix(second, 0).In(d.zone)
		d.at(at.Hour()*3600 + at.Minute()*60 + at.Second())
		return int32(civil.FromTime(at)), ""
	}
	day := civil.FromTime(time.Unix(second, 0).UTC())
	rest := int(second - int64(day)*daySeconds)
	if rest > aMinute && rest < daySeconds-aMinute && d.utc.line == 0 {
		d.utc = sight{line, string(b)}
	}
	d.at(rest)
	return int32(day), ""
}

// at records a time of day.
func (d *dates) at(second int) {
	d.varied = d.varied || d.clocked && second != d.clock
	d.clock, d.clocked = second, true
}

// epoch parses seconds, milliseconds, microseconds or nanoseconds since 1970.
func epoch(b []byte) (int64, bool) {
	if i := bytes.IndexByte(b, '.'); i > 0 && len(bytes.Trim(b[i+1:], "0123456789")) == 0 {
		b = b[:i]
	}
	if n := len(b); n != 9 && n != 10 && n != 13 && n != 16 && n != 19 || len(bytes.Trim(b, "0123456789")) > 0 {
		return 0, false
	}
	v, err := strconv.ParseInt(string(b), 10, 64)
	for range (len(b) - 10) / 3 {
		v /= 1000
	}
	return v, err == nil
}

// clock is a time of day in a file.
type clock struct {
	second int
	offset int  // seconds east of Greenwich
	zoned  bool // the file has the offset
	some   bool
}

// cutTime divides a date from the time of day after it. It returns false when what follows the date is no time.
func cutTime(b []byte) (date []byte, t clock, ok bool) {
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return b, t, true
	}
	start := i
	for start > 0 && b[start-1] >= '0' && b[start-1] <= '9' {
		start--
	}
	if start < 2 || i-start < 1 || i-start > 2 || strings.IndexByte(" T,_", b[start-1]) < 0 {
		return b, t, false
	}
	date = bytes.TrimRight(b[:start-1], " ,")
	t.some = true
	rest := b[start:]
	var part [3]int
	for n := range part {
		if n > 0 && (len(rest) == 0 || rest[0] != ':') {
			break
		}
		if n > 0 {
			rest = rest[1:]
		}
		w := 0
		for w < len(rest) && w < 2 && rest[w] >= '0' && rest[w] <= '9' {
			part[n] = part[n]*10 + int(rest[w]-'0')
			w++
		}
		if w == 0 {
			return b, t, false
		}
		rest = rest[w:]
	}
	if len(rest) > 0 && (rest[0] == '.' || rest[0] == ',') {
		rest = bytes.TrimLeft(rest[1:], "0123456789")
	}
	rest = bytes.TrimSpace(rest)
	if len(rest) >= 2 && rest[1]|0x20 == 'm' && (rest[0]|0x20 == 'a' || rest[0]|0x20 == 'p') {
		if part[0] == 12 {
			part[0] = 0
		}
		if rest[0]|0x20 == 'p' {
			part[0] += 12
		}
		rest = bytes.TrimSpace(rest[2:])
	}
	if part[0] > 24 || part[1] > 59 || part[2] > 60 {
		return b, t, false
	}
	t.second = part[0]*3600 + part[1]*60 + part[2]
	return date, t, t.zone(rest)
}

// zone parses what follows a time of day: UTC, an offset, or the name of a zone, which says that the time is local.
func (t *clock) zone(b []byte) bool {
	if i := bytes.IndexAny(b, "[("); i >= 0 { // [Europe/Berlin]
		b = bytes.TrimSpace(b[:i])
	}
	n := 0
	for n < len(b) && letter(b[n]) {
		n++
	}
	name := strings.ToUpper(string(b[:n]))
	t.zoned = name == "Z" || name == "UTC" || name == "GMT"
	if n > 5 {
		return false
	}
	if b = b[n:]; len(b) == 0 {
		return true
	}
	if n > 0 && !t.zoned || b[0] != '+' && b[0] != '-' {
		return false
	}
	t.zoned = true
	digits := 0
	for i, c := range b[1:] {
		switch {
		case c == ':' && i == 2:
		case c >= '0' && c <= '9' && digits < 4:
			digits++
			t.offset = t.offset*10 + int(c-'0')
		default:
			return false
		}
	}
	switch digits {
	case 2:
		t.offset *= 3600
	case 4:
		t.offset = t.offset/100*3600 + t.offset%100*60
	default:
		return false
	}
	if b[0] == '-' {
		t.offset = -t.offset
	}
	return true
}
