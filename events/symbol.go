package events

import (
	"errors"
	"fmt"
	"strings"
)

// maxSymbol is how many characters a symbol may have.
const maxSymbol = 32

// Symbol brings a symbol into the form in which the whole suite keeps it: upper case, 1 to 32 letters, digits and . -
// _ ^ = : &, and not points alone, for symbols stand in paths. The error says what is wrong with one that cannot be.
func Symbol(s string) (string, error) {
	symbol := strings.ToUpper(strings.TrimSpace(s))
	if symbol == "" {
		return "", errors.New("the symbol is empty")
	}
	if len(symbol) > maxSymbol {
		return "", fmt.Errorf("the symbol %.40q is longer than %d characters", s, maxSymbol)
	}
	for i := range len(symbol) {
		c := symbol[i]
		if c == '/' {
			return "", fmt.Errorf("%.40q is not a symbol: write a point in place of the slash, as in BRK.B", s)
		}
		if letter := c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'; !letter && strings.IndexByte(".-_^=:&", c) < 0 {
			return "", fmt.Errorf("%.40q is not a symbol: letters, digits and . - _ ^ = : & are", s)
		}
	}
	if strings.Trim(symbol, ".") == "" {
		return "", fmt.Errorf("%.40q is not a symbol: it takes a letter or a digit", s)
	}
	return symbol, nil
}
