package pricefile

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"stega/civil"
	"stega/fault"
)

// A date that can be read in two ways is kept as a key until the whole file has been seen: its parts, packed
// above every day number.
const undecided = 1 << 20

// The two ways to read a date such as 03/04/2024.
const (
	dayFirst   uint8 = 1 << iota // DD/MM/YYYY
	monthFirst                   // MM/DD/YYYY
)

// sight is a date of the file that a fault can quote.
type sight struct {
	line int
	text string
}

// dates parses the dates of one file.
type dates struct {
	format *DateFormat
	open   uint8 // ways that are still possible
	proof  map[uint8]sight
	doubt  sight // the first date that can be read in two ways

	zone    *time.Location // of the exchange; nil when it is not given
	utc     sight          // the first time of UTC that is in the middle of a local day
	clock   int            // the time of day of the first date that has one, in seconds
	clocked bool
	varied  bool // there are different times of day
	dotted  bool // the dates are DD.MM.YYYY

	last    [32]byte // the text of the date before, and what it came to
	lastLen int
	lastKey int32
}

func newDates(format *DateFormat, zone *time.Location) dates {
	return dates{format: format, zone: zone, open: dayFirst | monthFirst, proof: map[uint8]sight{}}
}

// key returns the day number of a date, or a key that resolve turns into one at the end of the file.
func (d *dates) key(b []byte, line int) (int32, string) {
	if d.lastLen > 0 && string(b) == string(d.last[:d.lastLen]) {
		return d.lastKey, ""
	}
	key, wrong := d.parse(b, line)
	if wrong == "" && len(b) <= len(d.last) {
		d.lastLen, d.lastKey = copy(d.last[:], b), key
	}
	return key, wrong
}

// parse parses a date with or without a time of day, or the seconds since 1970.
func (d *dates) parse(b []byte, line int) (int32, string) {
	if d.format == nil && len(b) == 10 && b[4] == '-' && b[7] == '-' {
		if key, ok := iso(b); ok {
			return key, ""
		}
	}
	if d.format == nil {
		if second, ok := epoch(b); ok {
			return d.instant(second, b, line)
		}
	}
	text, t, ok := cutTime(b)
	if !ok {
		return 0, fmt.Sprintf("%s is not a date; write it as YYYY-MM-DD", quote(b))
	}
	key, wrong := d.day(text, b, line)
	if wrong != "" || !t.some {
		return key, wrong
	}
	if key < undecided && t.zoned && (d.zone != nil || t.offset == 0) {
		return d.instant(int64(key)*daySeconds+int64(t.second-t.offset), b, line)
	}
	d.at(t.second)
	return key, ""
}

// day parses a date without a time of day; whole is what faults quote.
func (d *dates) day(b, whole []byte, line int) (int32, string) {
	if d.format != nil {
		y, m, day, ok := d.format.split(b)
		if !ok {
			return 0, fmt.Sprintf("the date %s is not of the form %s", quote(whole), d.format.name)
		}
		return dayOf(b, y, m, day)
	}
	if len(b) == 10 && b[4] == '-' && b[7] == '-' {
		if key, ok := iso(b); ok {
			return key, ""
		}
	}
	return d.detect(b, line)
}

func iso(b []byte) (int32, bool) {
	day, err := civil.ParseBytes(b)
	if err != nil || day.Year() < firstYear || day.Year() > lastYear {
		return 0, false
	}
	return int32(day), true
}

const (
	daySeconds = 24 * 60 * 60
	aMinute    = 60
)

// detect parses a date without a given form.
func (d *dates) detect(b []byte, line int) (int32, string) {
	p, ok := cut(weekday(b))
	if !ok {
		return 0, fmt.Sprintf("%s is not a date; write it as YYYY-MM-DD", quote(b))
	}
	switch {
	case p.len[0] == 5 && p.count == 1 && p.num[0] > 20_000 && p.num[0] < 80_000:
		return 0, fmt.Sprintf("%s looks like the serial number of a date in a spreadsheet; format the column as dates"+
			" (YYYY-MM-DD) and save the file again", quote(b))
	case p.len[0] == 8 && p.count == 1: // YYYYMMDD
		return dayOf(b, p.num[0]/10000, p.num[0]/100%100, p.num[0]%100)
	case p.count != 3:
		return 0, fmt.Sprintf("%s is not a date; write it as YYYY-MM-DD", quote(b))
	case p.len[0] == 4 && p.month == 0: // YYYY/MM/DD and the like
		return dayOf(b, p.num[0], p.num[1], p.num[2])
	case p.len[2] != 4:
		return 0, fmt.Sprintf(
			"the date %s has no year of four digits; name the form with ?date_format=, as DD/MM/YY", quote(b),
		)
	case p.month == 2: // 2-Jan-2024
		return dayOf(b, p.num[2], p.num[1], p.num[0])
	case p.month == 1: // Jan 2, 2024
		return dayOf(b, p.num[2], p.num[0], p.num[1])
	case p.separator == '.': // the dotted form has the day first wherever it is used
		d.dotted = true
		return dayOf(b, p.num[2], p.num[1], p.num[0])
	}
	return d.weigh(b, p, line)
}

// weigh parses two parts of which either may be the day, followed by the year.
func (d *dates) weigh(b []byte, p parts, line int) (int32, string) {
	first, second, year := p.num[0], p.num[1], p.num[2]
	var ways uint8
	if civil.Valid(year, second, first) {
		ways |= dayFirst
	}
	if civil.Valid(year, first, second) {
		ways |= monthFirst
	}
	switch {
	case ways == 0 || year < firstYear || year > lastYear || first == second:
		return dayOf(b, year, second, first)
	case ways&d.open == 0:
		other := d.proof[d.open]
		return 0, fmt.Sprintf("the date %s can only be %s, and %q on line %d only %s",
			quote(b), wayName(ways), other.text, other.line, wayName(d.open))
	case ways == dayFirst|monthFirst && d.open == ways:
		if d.doubt.line == 0 {
			d.doubt = sight{line, string(b)}
		}
		return undecided + int32((year-firstYear)<<10|first<<5|second), ""
	case ways != dayFirst|monthFirst && d.open != ways:
		d.open = ways
		d.proof[ways] = sight{line, string(b)}
	}
	if d.open == dayFirst {
		return dayOf(b, year, second, first)
	}
	return dayOf(b, year, first, second)
}

// resolve returns the day of a key after the whole file was read.
func resolve(key int32, open uint8) civil.Date {
	if key < undecided {
		return civil.Date(key)
	}
	key -= undecided
	year, first, second := int(key>>10)+firstYear, int(key>>5&31), int(key&31)
	if open == dayFirst {
		first, second = second, first
	}
	day, _ := newDay(year, first, second)
	return day
}

// ambiguous returns a date that can be read in two ways, in a file that never shows which part is the day.
func (d *dates) ambiguous() (sight, string, bool) {
	if d.doubt.line == 0 || d.open != dayFirst|monthFirst {
		return sight{}, "", false
	}
	return d.doubt, fmt.Sprintf("%q can be DD/MM/YYYY or MM/DD/YYYY, and no other date of the file tells which;"+
		" add ?date_format=DD/MM/YYYY or ?date_format=MM/DD/YYYY", d.doubt.text), true
}

func wayName(way uint8) string {
	if way == dayFirst {
		return "DD/MM/YYYY"
	}
	return "MM/DD/YYYY"
}

func dayOf(b []byte, year, month, day int) (int32, string) {
	if year < firstYear || year > lastYear {
		return 0, fmt.Sprintf("the date %s is not between the years %d and %d", quote(b), firstYear, lastYear)
	}
	date, ok := newDay(year, month, day)
	if !ok {
		return 0, fmt.Sprintf("the date %s is not a day of the calendar", quote(b))
	}
	return int32(date), ""
}

func newDay(year, month, day int) (civil.Date, bool) {
	if !civil.Valid(year, month, day) {
		return 0, false
	}
	text := [10]byte{byte('0' + year/1000), byte('0' + year/100%10), byte('0' + year/10%10), byte('0' + year%10), '-',
		byte('0' + month/10), byte('0' + month%10), '-', byte('0' + day/10), byte('0' + day%10)}
	date, err := civil.ParseBytes(text[:])
	return date, err == nil
}

// parts holds the pieces of a date: three numbers, or two and the name of a month.
type parts struct {
	num       [3]int
	len       [3]int // digits
	month     int    // which part, from 1, is the name of a month; 0 is none
	count     int
	separator byte
}

// cut splits a date into its parts.
func cut(b []byte) (parts, bool) {
	var p parts
	for i := 0; i < len(b); {
		if p.count == 3 {
			return p, false
		}
		start := i
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			for ; i < len(b) && b[i] >= '0' && b[i] <= '9' && i-start < 9; i++ {
				p.num[p.count] = p.num[p.count]*10 + int(b[i]-'0')
			}
			p.len[p.count] = i - start
		case letter(c):
			for i < len(b) && letter(b[i]) {
				i++
			}
			if p.num[p.count] = monthOf(b[start:i]); p.num[p.count] == 0 || p.month != 0 {
				return p, false
			}
			p.month = p.count + 1
		default:
			return p, false
		}
		p.count++
		if i == len(b) {
			break
		}
		start = i
		for i < len(b) && strings.IndexByte("/-. ,", b[i]) >= 0 {
			i++
		}
		one := i-start == 1 || i-start == 2 && b[start+1] == ' ' // "Jan 2, 2024"
		if !one || i == len(b) || p.month == 0 && p.separator != 0 && p.separator != b[start] {
			return p, false
		}
		p.separator = b[start]
	}
	return p, p.count > 0
}

// weekday cuts the name of a weekday before a date.
func weekday(b []byte) []byte {
	n := 0
	for n < len(b) && letter(b[n]) {
		n++
	}
	name := strings.ToLower(string(b[:n]))
	for _, full := range [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
		if n >= 3 && strings.HasPrefix(full, name) {
			return bytes.TrimLeft(b[n:], "., ")
		}
	}
	return b
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// monthOf returns the number of a month from its English name or its first three letters; 0 for others.
func monthOf(b []byte) int {
	name := strings.ToLower(string(b))
	for i, full := range [...]string{"january", "february", "march", "april", "may", "june", "july", "august",
		"september", "october", "november", "december"} {
		if name == full || name == full[:3] || name == "sept" && i == 8 {
			return i + 1
		}
	}
	switch name { // of German, as far as they are in ASCII
	case "mai":
		return 5
	case "okt", "oktober":
		return 10
	case "dez", "dezember":
		return 12
	}
	return 0
}

// DateFormat is a form of dates that a client gave.
type DateFormat struct {
	name  string
	parts []string // runs of Y, M and D, and the text between them
}

// ParseDateFormat parses the name of a form: YYYY or YY for the year, MM or M for the month, MMM for its English name
// (Jan, or January), DD or D for the day, in any order and with any separators: YYYY-MM-DD, DD/MM/YYYY, MM/DD/YYYY,
// DD.MM.YYYY, YYYYMMDD, D-MMM-YY. Between separators a leading zero may be missing. Years of two digits are 1969 to
// 2068.
func ParseDateFormat(name string) (*DateFormat, error) {
	f := &DateFormat{name: strings.ToUpper(strings.TrimSpace(name))}
	var seen string
	for rest := f.name; rest != ""; {
		n := 1
		for n < len(rest) && (rest[n] == rest[0] ||
			strings.IndexByte("YMD", rest[0]) < 0 && strings.IndexByte("YMD", rest[n]) < 0) {
			n++
		}
		run := rest[:n]
		rest = rest[n:]
		f.parts = append(f.parts, run)
		switch run {
		case "YYYY", "YY", "M", "MM", "MMM", "MMMM", "D", "DD":
			seen += run[:1]
		default:
			if strings.ContainsAny(run, "YMD") || bytes.ContainsFunc([]byte(run), func(r rune) bool {
				return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r > 126
			}) {
				seen += "?"
			}
		}
	}
	if len(seen) != 3 || !strings.Contains(seen, "Y") || !strings.Contains(seen, "M") || !strings.Contains(seen, "D") {
		return nil, fault.Malformed("date_format_unknown", "%q does not name a form of dates", name).
			WithHint("use YYYY, MM and DD as in YYYY-MM-DD, DD/MM/YYYY, MM/DD/YYYY, DD.MM.YYYY, YYYYMMDD or D-MMM-YY")
	}
	return f, nil
}

// split splits a date of this form into its parts.
func (f *DateFormat) split(b []byte) (year, month, day int, ok bool) {
	for i, part := range f.parts {
		switch part[0] {
		case 'Y', 'D', 'M':
			if len(part) >= 3 && part[0] == 'M' {
				n := 0
				for n < len(b) && letter(b[n]) {
					n++
				}
				if month = monthOf(b[:n]); month == 0 {
					return 0, 0, 0, false
				}
				b = b[n:]
				continue
			}
			fixed := part[0] == 'Y' || i > 0 && f.numeric(i-1) || i+1 < len(f.parts) && f.numeric(i+1)
			n, v := 0, 0
			for n < len(b) && n < max(2, len(part)) && b[n] >= '0' && b[n] <= '9' {
				v = v*10 + int(b[n]-'0')
				n++
			}
			if n == 0 || fixed && n != len(part) {
				return 0, 0, 0, false
			}
			b = b[n:]
			switch {
			case part == "YY" && v < 69:
				year = 2000 + v
			case part == "YY":
				year = 1900 + v
			case part[0] == 'Y':
				year = v
			case part[0] == 'M':
				month = v
			default:
				day = v
			}
		default:
			if !bytes.HasPrefix(b, []byte(part)) {
				return 0, 0, 0, false
			}
			b = b[len(part):]
		}
	}
	return year, month, day, len(b) == 0
}

// numeric reports whether a part of the form is written in digits.
func (f *DateFormat) numeric(i int) bool {
	part := f.parts[i]
	return part[0] == 'Y' || part[0] == 'D' || part[0] == 'M' && len(part) < 3
}
