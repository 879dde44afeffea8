package events

import (
	"errors"
	"fmt"
	"strings"
)

// maxSymbol limits the length of a symbol, in characters.
const maxSymbol = 32

// Symbol returns a symbol in its stored form: upper case, 1 to 32 letters, digits and . - _ ^ = : &, and not points
// alone, because symbols are parts of paths.
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
