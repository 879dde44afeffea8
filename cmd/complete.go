package cmd

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stega/events"
	"stega/process"
)

// known is what completion knows of a server: what commands saw last. Completion reads this file and asks nobody, so it is quick when
// the server is away.
type known struct {
	Portfolios map[string]string `json:"portfolios,omitempty"` // names by id
	Symbols    []string          `json:"symbols,omitempty"`
	Schedules  []string          `json:"schedules,omitempty"`
	Operations []string          `json:"operations,omitempty"` // the newest first
}

// The most that is kept of each.
const (
	maxNames      = 5000
	maxOperations = 50
)

func knownFile(at place) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.TrimRight(at.URL, "/")))
	return filepath.Join(dir, "stega", "names-"+hex.EncodeToString(sum[:6])+".json"), nil
}

func readKnown(at place) (k known) {
	path, err := knownFile(at)
	if err != nil {
		return k
	}
	if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &k) != nil {
		return known{}
	}
	return k
}

// remember changes what is known. That it cannot be written is no reason to fail: it only makes completion poorer.
func remember(at place, change func(k *known)) {
	k := readKnown(at)
	before, _ := json.Marshal(k)
	if k.Portfolios == nil {
		k.Portfolios = map[string]string{}
	}
	change(&k)
	after, err := json.Marshal(k)
	path, where := knownFile(at)
	if err != nil || where != nil || string(before) == string(after) {
		return
	}
	_ = writePrivately(path, after)
}

func rememberPortfolios(at place, list ...events.Portfolio) {
	remember(at, func(k *known) {
		for _, p := range list {
			if len(k.Portfolios) < maxNames {
				k.Portfolios[p.ID] = p.Name
			}
		}
	})
}

func forgetPortfolios(at place) { remember(at, func(k *known) { clear(k.Portfolios) }) }

func forgetSymbols(at place) { remember(at, func(k *known) { k.Symbols = nil }) }

func forgetPortfolio(at place, id string) { remember(at, func(k *known) { delete(k.Portfolios, id) }) }

func rememberSymbols(at place, symbols ...string) {
	remember(at, func(k *known) {
		k.Symbols = append(k.Symbols, symbols...)
		slices.Sort(k.Symbols)
		k.Symbols = slices.Compact(k.Symbols)
		k.Symbols = k.Symbols[:min(len(k.Symbols), maxNames)]
	})
}

func rememberOperation(at place, ids ...string) {
	remember(at, func(k *known) {
		all := slices.Concat(ids, slices.DeleteFunc(k.Operations, func(id string) bool { return slices.Contains(ids, id) }))
		k.Operations = all[:min(len(all), maxOperations)]
	})
}

// completion completes an argument.
type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

func oneOf(values ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

// one completes the first argument with names of what is known.
func (g *globals) one(names ...func(k known) []string) completion {
	all := g.many(names...)
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all(c, args, typed)
	}
}

// many completes every argument with names of what is known.
func (g *globals) many(names ...func(k known) []string) completion {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		at, err := g.place()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		k := readKnown(at)
		var found []string
		for _, list := range names {
			for _, name := range list(k) {
				if strings.HasPrefix(strings.ToLower(name), strings.ToLower(typed)) {
					found = append(found, name)
				}
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// portfolioNames are names, each told apart by its id.
func portfolioNames(k known) []string {
	var names []string
	for id, name := range k.Portfolios {
		names = append(names, name+"\t"+id)
	}
	slices.Sort(names)
	return names
}

func symbolNames(k known) []string { return k.Symbols }

func scheduleNames(k known) []string { return k.Schedules }

// providerNames are the providers that a server of this version knows.
var providerNames = []string{"folder", "eodhd", "stooq", "yahoo"}

func operationIDs(k known) []string { return k.Operations }

func topicNames(known) []string {
	var names []string
	for _, t := range events.Catalogue() {
		names = append(names, t.Topic+"\t"+t.Summary)
	}
	return names
}

func serviceNames(known) []string { return process.Names() }
