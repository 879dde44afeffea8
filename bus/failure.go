package bus

import (
	"errors"
	"fmt"
	"strings"

	"stega/fault"
)

// panicked is a panic of a handler as an error; it is tried again like any other.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// maxErrorText bounds what is kept of an error beside a parked message.
const maxErrorText = 4096

// text is an error as it is kept beside a parked message.
func text(err error) string {
	s := err.Error()
	if len(s) > maxErrorText {
		s = strings.ToValidUTF8(s[:maxErrorText], "") + "…"
	}
	return strings.ReplaceAll(s, "\x00", "")
}

// cause is what failures are grouped by: the code of a fault, else the shape of the error's text.
func cause(err error) string {
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code != "" {
		return f.Code
	}
	return shape(err.Error())
}

// maxShape bounds the length of a group's name.
const maxShape = 120

// shape is the first line of a text without what differs from one failure to the next: quoted words, and
// words with digits in them, such as ids, dates and amounts.
func shape(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxShape; {
		c := s[i]
		if c == '"' || c == '`' {
			if end := strings.IndexByte(s[i+1:], c); end >= 0 {
				b.WriteString("…")
				i += end + 2
				continue
			}
		}
		if !wordByte(c) {
			b.WriteByte(c)
			i++
			continue
		}
		end := i
		for end < len(s) && (wordByte(s[end]) || s[end] == '-' && end+1 < len(s) && wordByte(s[end+1])) {
			end++
		}
		if strings.ContainsAny(s[i:end], "0123456789") {
			b.WriteString("#")
		} else {
			b.WriteString(s[i:end])
		}
		i = end
	}
	return strings.ToValidUTF8(b.String(), "")
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// away reports whether an error means that the database cannot be reached at present.
func away(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Kind == fault.KindUnavailable
}
