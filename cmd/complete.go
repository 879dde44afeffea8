package cmd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"stega/events"
	"stega/process"
	"stega/text"
)

// known is what completion knows of a server: what commands saw last. Completion reads this file and asks nobody, so
// it is quick when the server is away.
type known struct {
	Portfolios map[string]string `json:"portfolios,omitempty"` // names by id
	Symbols    []string          `json:"symbols,omitempty"`
	Schedules  []string          `json:"schedules,omitempty"`
	// Optimizations are named ones.
	Optimizations []string `json:"optimizations,omitempty"`
	Operations    []string `json:"operations,omitempty"` // the newest first
}

// The most that is kept of each.
const (
	maxNames      = 5000
	maxOperations = 50
)

// knownFile is where it is kept, in a folder for caches.
func knownFile(url, cache string) string {
	sum := sha256.Sum256([]byte(strings.TrimRight(url, "/")))
	return filepath.Join(cache, "stega", "names-"+hex.EncodeToString(sum[:6])+".json")
}

func readKnown(at place) known {
	k, _ := readNames(at)
	return k
}

// readNames is what is known, and the text that it is from.
func readNames(at place) (k known, from []byte) {
	if at.names == "" {
		return k, nil
	}
	from, err := os.ReadFile(at.names)
	if err == nil && json.Unmarshal(from, &k) != nil {
		return known{}, nil
	}
	return k, from
}

// names reports whether a word was seen as the name of a portfolio, and as a symbol.
func (k known) names(word, symbol string) (portfolio, priced bool) {
	for _, name := range k.Portfolios {
		portfolio = portfolio || name == word
	}
	return portfolio, slices.Contains(k.Symbols, symbol)
}

// remember changes what is known. That it cannot be written is no reason to fail: it only makes completion poorer.
func remember(at place, change func(k *known)) {
	k, before := readNames(at)
	if k.Portfolios == nil {
		k.Portfolios = map[string]string{}
	}
	change(&k)
	after, err := json.Marshal(k)
	if err != nil || at.names == "" || bytes.Equal(before, after) {
		return
	}
	_ = writePrivately(at.names, after)
}

// rememberPortfolios remembers portfolios, beside those that are known already, or in their place when these are all.
func rememberPortfolios(at place, all bool, list ...events.Portfolio) {
	remember(at, func(k *known) {
		if all {
			clear(k.Portfolios)
		}
		for _, p := range list {
			if len(k.Portfolios) < maxNames {
				k.Portfolios[p.ID] = p.Name
			}
		}
	})
}

func forgetPortfolio(at place, id string) { remember(at, func(k *known) { delete(k.Portfolios, id) }) }

// rememberSymbols remembers symbols, likewise.
func rememberSymbols(at place, all bool, symbols ...string) {
	remember(at, func(k *known) {
		if all {
			k.Symbols = nil
		}
		k.Symbols = append(k.Symbols, symbols...)
		slices.Sort(k.Symbols)
		k.Symbols = slices.Compact(k.Symbols)
		k.Symbols = k.Symbols[:min(len(k.Symbols), maxNames)]
	})
}

func rememberOperation(at place, ids ...string) {
	remember(at, func(k *known) {
		all := slices.Concat(ids, slices.DeleteFunc(k.Operations, func(id string) bool {
			return slices.Contains(ids, id)
		}))
		k.Operations = all[:min(len(all), maxOperations)]
	})
}

// rememberOptimizations remembers the names of optimizations.
func rememberOptimizations(at place, names ...string) {
	remember(at, func(k *known) {
		for _, name := range names {
			if name != "" && !slices.Contains(k.Optimizations, name) && len(k.Optimizations) < maxNames {
				k.Optimizations = append(k.Optimizations, name)
			}
		}
	})
}

func forgetOptimization(at place, name string) {
	remember(at, func(k *known) {
		k.Optimizations = slices.DeleteFunc(k.Optimizations, func(known string) bool { return known == name })
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
				word, about, _ := strings.Cut(name, "\t")
				if !strings.HasPrefix(strings.ToLower(word), strings.ToLower(typed)) {
					continue
				}
				if strings.HasPrefix(word, "-") || !harmless(word) && !slices.Contains(patterns, word) {
					continue // a name must become neither a flag nor what a shell runs
				}
				if about != "" && harmless(about) {
					word += "\t" + about
				}
				found = append(found, word)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// harmless reports whether a shell takes a word for nothing but text. It may have spaces, at which a shell divides it.
func harmless(word string) bool {
	return text.Visible(word) == word && !strings.ContainsFunc(word, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) &&
			!strings.ContainsRune(" ._-:/,@+%=^", r)
	})
}

// candidates is the writer of what completes a command line. It leaves out words that a shell would run, for a shell
// inserts what several have in common as it is. The patterns of topics, with # and *, run nothing.
type candidates struct{ to io.Writer }

func (c candidates) Write(b []byte) (int, error) {
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		word, about, described := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !harmless(strings.NewReplacer("#", "", "*", "").Replace(word)) {
			continue
		}
		out.WriteString(word)
		if described {
			out.WriteString("\t" + text.Visible(about))
		}
		out.WriteString("\n")
	}
	_, err := io.WriteString(c.to, out.String())
	return len(b), err
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

func optimizationNames(k known) []string { return k.Optimizations }

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
