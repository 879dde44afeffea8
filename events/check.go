package events

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"github.com/govalues/decimal"

	"stega/text"
)

// The Check methods validate the data of an event. Services emit only valid events; the checks are for events that a
// person injects.

// Check returns an error for invalid bars.
func (e PricesImported) Check() error {
	if err := checkSymbol(e.Symbol); err != nil {
		return err
	}
	if len(e.Days) == 0 && e.Replay == nil {
		return errors.New("dates is empty")
	}
	for i := range e.Days {
		if i > 0 && e.Days[i] <= e.Days[i-1] {
			return fmt.Errorf("dates must rise: %s follows %s", e.Days[i], e.Days[i-1])
		}
	}
	for _, c := range []struct {
		name     string
		column   Column
		needed   bool
		positive bool
	}{
		{"close", e.Close, len(e.Days) > 0, true},
		{"adj_close", e.AdjClose, false, true},
		{"open", e.Open, false, true},
		{"high", e.High, false, true},
		{"low", e.Low, false, true},
		{"volume", e.Volume, false, false},
		{"dividend", e.Dividend, false, false},
		{"split", e.Split, false, true},
	} {
		if err := checkColumn(c.column, len(e.Days), c.needed, c.positive); err != nil {
			return fmt.Errorf("%s %w", c.name, err)
		}
	}
	return nil
}

func checkColumn(c Column, days int, needed, positive bool) error {
	if len(c) == 0 && !needed {
		return nil
	}
	if len(c) != days {
		return fmt.Errorf("has %d values for %d dates", len(c), days)
	}
	for i, v := range c {
		switch {
		case !v.Valid && needed:
			return fmt.Errorf("lacks value %d", i+1)
		case v.Valid && (v.Decimal.IsNeg() || positive && v.Decimal.IsZero()):
			return fmt.Errorf("has %s as value %d, which must be above zero", v.Decimal, i+1)
		}
	}
	return nil
}

func checkSymbol(s string) error {
	symbol, err := Symbol(s)
	if err == nil && symbol != s {
		err = fmt.Errorf("the symbol %q is written %s", s, symbol)
	}
	return err
}

// Check returns an error for an invalid portfolio.
func (p Portfolio) Check() error {
	if err := checkID("id", p.ID); err != nil {
		return err
	}
	if p.Version < 1 {
		return errors.New("version must be 1 or more")
	}
	if err := checkName("name", p.Name); err != nil {
		return err
	}
	if len(p.Assets) == 0 {
		return errors.New("assets is empty")
	}
	sum := decimal.Zero
	seen := map[string]bool{}
	for _, a := range p.Assets {
		if err := checkSymbol(a.Symbol); err != nil {
			return err
		}
		if seen[a.Symbol] {
			return fmt.Errorf("the symbol %s occurs twice", a.Symbol)
		}
		seen[a.Symbol] = true
		var err error
		if sum, err = sum.Add(a.Weight); err != nil {
			return fmt.Errorf("the weights cannot be added: %w", err)
		}
	}
	if sum.Cmp(decimal.One) != 0 {
		return fmt.Errorf("the weights sum to %s and not to 1", sum.Trim(0))
	}
	return nil
}

// MaxName limits the length of a name, in characters.
const MaxName = 200

// checkName returns an error unless the name is in its stored form.
func checkName(field, name string) error {
	kept, err := text.CheckName(name, MaxName)
	if err == nil && kept != name {
		err = fmt.Errorf("is written %q", kept)
	}
	if err != nil {
		return fmt.Errorf("%s %w", field, err)
	}
	return nil
}

func checkID(name, id string) error {
	if _, err := uuid.Parse(id); err != nil {
		return fmt.Errorf("%s %q is not a UUID", name, id)
	}
	return nil
}

// Check returns an error for invalid days or returns.
func (e AssetUpdated) Check() error {
	if e.ChangedTo < e.ChangedFrom || e.Last < e.First || e.Observations < 0 {
		return errors.New(
			"changed_from and first must not be after changed_to and last, and observations not below zero")
	}
	if e.LastClose != nil && !e.LastClose.IsPos() {
		return fmt.Errorf("last_close is %s, and must be above zero", e.LastClose)
	}
	if err := e.checkSeries(); err != nil {
		return err
	}
	return checkSymbol(e.Symbol)
}

func (e AssetUpdated) checkSeries() error {
	if len(e.Returns) != len(e.Days) {
		return fmt.Errorf("there are %d dates and %d returns", len(e.Days), len(e.Returns))
	}
	for i, day := range e.Days {
		switch {
		case day < e.ChangedFrom || day > e.ChangedTo:
			return fmt.Errorf("%s is not between changed_from and changed_to", day)
		case i > 0 && day <= e.Days[i-1]:
			return fmt.Errorf("%s is not after the date before it", day)
		case math.IsNaN(e.Returns[i]) != (day == e.First):
			return fmt.Errorf("the first day of a series has no return, and every other one has: %s", day)
		}
	}
	return nil
}

// Check returns an error for an invalid id.
func (e PortfolioReturnsUpdated) Check() error { return checkID("portfolio_id", e.PortfolioID) }

// Check returns an error for invalid symbols.
func (e CorrelationsUpdated) Check() error {
	if len(e.Changed) == 0 || e.Symbols < len(e.Changed) {
		return errors.New("changed must name symbols, and no more than symbols counts")
	}
	for i, symbol := range e.Changed {
		if err := checkSymbol(symbol); err != nil {
			return err
		}
		if i > 0 && symbol <= e.Changed[i-1] {
			return fmt.Errorf("changed must be ordered: %s follows %s", symbol, e.Changed[i-1])
		}
	}
	return nil
}

// Check returns an error for an invalid result.
func (e OptimizationCompleted) Check() error {
	if err := checkID("id", e.ID); err != nil {
		return err
	}
	if e.PortfolioID != "" {
		if err := checkID("portfolio_id", e.PortfolioID); err != nil {
			return err
		}
	}
	if e.Name != "" {
		if err := checkName("name", e.Name); err != nil {
			return err
		}
	}
	if err := checkName("objective", e.Objective); err != nil {
		return err
	}
	if len(e.Weights) != len(e.Symbols) {
		return fmt.Errorf("weights has %d values for %d symbols", len(e.Weights), len(e.Symbols))
	}
	for i, s := range e.Symbols {
		if err := checkSymbol(s); err != nil {
			return err
		}
		if math.IsNaN(e.Weights[i]) {
			return fmt.Errorf("weights lacks that of %s", s)
		}
	}
	for _, t := range e.Trades {
		if err := checkSymbol(t.Symbol); err != nil {
			return err
		}
	}
	return nil
}

// Check returns an error for an invalid page.
func (e ReplayPaged) Check() error {
	if e.Service == "" || e.Owner == "" {
		return errors.New("service and owner must not be empty")
	}
	return checkID("rebuild", e.Rebuild)
}

// Check returns an error for an invalid request.
func (e ReplayRequested) Check() error {
	if err := checkName("service", e.Service); err != nil {
		return err
	}
	for _, topic := range e.Topics {
		if _, ok := Lookup(topic); !ok {
			return fmt.Errorf("there is no topic %q", topic)
		}
	}
	if len(e.Topics) == 0 || slices.Contains(e.Topics, e.Topic()) {
		return errors.New("topics must name the events to replay")
	}
	return nil
}
