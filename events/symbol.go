package events

import (
	"errors"
	"fmt"
	"strings"
)

// maxSymbol is how many characters a symbol may have.
const maxSymbol = 32

// Symbol brings a symbol into the form in which the whole suite keeps it: upper case, 1 to 32 letters, digits and
// . - _ ^ = / : &. The error says what is wrong with one that cannot be.
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
		if letter := c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'; !letter && strings.IndexByte(".-_^=/:&", c) < 0 {
			return "", fmt.Errorf("%.40q is not a symbol: letters, digits and . - _ ^ = / : & are", s)
		}
	}
	if strings.Contains(symbol, "/") || strings.Trim(symbol, ".") == "" { // it stands in paths
		return "", fmt.Errorf("%.40q cannot be a symbol: write a point in place of a slash, such as BRK.B", s)
	}
	return symbol, nil
}
