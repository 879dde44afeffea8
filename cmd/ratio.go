package cmd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// parseRatio reads a ratio: 0.02, or 2%.
func parseRatio(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	number = strings.TrimSpace(number)
	if percent {
		number += "e-2" // so that 0.1% is the very number that 0.001 is
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a ratio; write 0.02 or 2%%", text)
	}
	return v, nil
}

func parseNumber(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return v, nil
}

// numberFlag is the value of a flag that is a number, and nil until the flag is set.
type numberFlag struct {
	to    **float64
	kind  string // its name in help texts
	parse func(string) (float64, error)
}

func (n numberFlag) Set(text string) error {
	v, err := n.parse(text)
	if err == nil {
		*n.to = &v
	}
	return err
}

func (n numberFlag) String() string {
	if n.to == nil || *n.to == nil {
		return ""
	}
	return strconv.FormatFloat(**n.to, 'g', -1, 64)
}

// Type returns the name of the value in help texts.
func (n numberFlag) Type() string { return n.kind }

// ratioVar adds a flag of a ratio, such as 0.02 or 2%.
func ratioVar(f *pflag.FlagSet, to **float64, name, usage string) {
	f.Var(numberFlag{to, "ratio", parseRatio}, name, usage)
}

// numberVar adds a flag of a number.
func numberVar(f *pflag.FlagSet, to **float64, name, usage string) {
	f.Var(numberFlag{to, "number", parseNumber}, name, usage)
}

// alias adds a second, hidden name to a flag: one that the flag had before.
func alias(f *pflag.FlagSet, name, before string) {
	old := *f.Lookup(name)
	old.Name, old.Hidden = before, true
	f.AddFlag(&old)
}
