// Package text makes text from outside safe to show and to store.
//
// Visible is for terminals and logs, Cell for spreadsheets, CheckName for names, and RedactURL for addresses that may
// contain a password. Each place that shows or stores such text uses these.
package text

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Visible returns s with every character that a terminal would obey or hide written as an escape, such as \n or
// \u001b. It escapes control characters, line separators, direction marks, zero-width and tag characters, unassigned
// characters, and bytes that are not UTF-8. Emoji variation selectors stay.
func Visible(s string) string {
	first := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !shown(r) })
	if first < 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:first])
	for rest := s[first:]; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case shown(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	return b.String()
}

// shown reports whether a terminal shows r.
func shown(r rune) bool {
	return r == '\ufe0e' || r == '\ufe0f' || unicode.IsGraphic(r) && !blank(r)
}

// blank reports whether r is a graphic character without a glyph.
func blank(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800'
}

// CheckName returns a name in its stored and compared form (NFC). An error is the end of a sentence about the name:
// "has a space at its end". limit counts characters.
//
// It refuses characters that make two names look alike or a name look like something else: control, direction,
// zero-width and tag characters, characters without a meaning or a glyph, spaces around the name and unusual ones
// within, and words that mix Latin letters with similar letters of another alphabet.
func CheckName(s string, limit int) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("is not UTF-8")
	}
	s = norm.NFC.String(s)
	switch {
	case s == "":
		return "", errors.New("is missing")
	case utf8.RuneCountInString(s) > limit:
		return "", fmt.Errorf("has more than %d characters", limit)
	}
	for _, r := range s {
		switch {
		case r == utf8.RuneError || !unicode.IsGraphic(r) || blank(r):
			return "", fmt.Errorf("has a character that cannot be shown: %U", r)
		case unicode.Is(unicode.Zs, r) && r != ' ' && r != '\u3000':
			return "", fmt.Errorf("has an unusual space: %U", r)
		}
	}
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	switch {
	case unicode.IsSpace(first):
		return "", errors.New("has a space at its start")
	case unicode.IsSpace(last):
		return "", errors.New("has a space at its end")
	case unicode.IsMark(first):
		return "", fmt.Errorf("starts with an accent without a letter: %U", first)
	}
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r)
	}) {
		if mixed(word) {
			return "", fmt.Errorf("mixes letters of different alphabets that look alike in one word: %s", word)
		}
	}
	return s, nil
}

// Fold returns the form in which equal names compare equal: case and the encoding of accents make no difference.
func Fold(name string) string { return norm.NFC.String(strings.ToLower(norm.NFC.String(name))) }

// mixed reports whether a word has Latin letters beside letters of a similar alphabet.
func mixed(word string) bool {
	latin, other := false, false
	for _, r := range word {
		latin = latin || unicode.Is(unicode.Latin, r)
		other = other ||
			unicode.In(r, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Cherokee, unicode.Coptic,
				unicode.Lisu)
	}
	return latin && other
}

// Cell returns a CSV cell that no spreadsheet evaluates as a formula: text that would begin one gets a leading
// apostrophe, which spreadsheets hide. Numbers stay unchanged.
func Cell(s string) string {
	begin := strings.TrimLeftFunc(s, unicode.IsSpace)
	switch r, _ := utf8.DecodeRuneInString(begin); {
	case s != "" && (s[0] == '\t' || s[0] == '\r' || s[0] == '\n'):
		return "'" + s
	case !strings.ContainsRune("=+-@＝＋－＠", r), s == "-", number(s):
		return s
	}
	return "'" + s
}

// number reports whether s is a number as programs print it.
func number(s string) bool {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	if s == "Inf" {
		return true
	}
	s = strings.TrimSuffix(s, "%")
	if mantissa, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		exponent = strings.TrimPrefix(strings.TrimPrefix(exponent, "-"), "+")
		return decimal(mantissa) && digits(exponent) && exponent != ""
	}
	return decimal(s)
}

func decimal(s string) bool {
	whole, part, _ := strings.Cut(s, ".")
	return digits(whole) && digits(part) && whole+part != ""
}

func digits(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// JSON returns equivalent JSON in which every character that Visible escapes is escaped.
func JSON(b []byte) []byte {
	if bytes.IndexFunc(b, func(r rune) bool { return r == utf8.RuneError || r >= 0x7f && !shown(r) }) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r < 0x7f || r != utf8.RuneError && shown(r):
			out = append(out, b[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default: // bytes that are not UTF-8 decode as U+FFFD
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[size:]
	}
	return out
}
