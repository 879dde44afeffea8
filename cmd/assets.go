package cmd

import (
	"io"
	"os"
	"strings"

	"github.com/govalues/decimal"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"stega/events"
	"stega/fault"
)

// portfolioInput are the flags that say what a portfolio is.
type portfolioInput struct{ name, assets, file string }

func (in *portfolioInput) flags(c *cobra.Command, g *globals) {
	f := c.Flags()
	f.StringVar(&in.name, "name", "", "name; overrides the one in --file")
	f.StringVar(&in.assets, "assets", "", "symbols and weights, such as AAPL:60%,MSFT:40%")
	f.StringVar(&in.file, "file", "", "JSON or YAML file with name and assets, or - for the standard input")
	c.MarkFlagsMutuallyExclusive("assets", "file")
	_ = c.RegisterFlagCompletionFunc("name", cobra.NoFileCompletions)
	_ = c.RegisterFlagCompletionFunc(
		"assets",
		func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			before := typed[:strings.LastIndex(typed, ",")+1]
			found, _ := g.many(symbolNames)(nil, nil, typed[len(before):])
			for i, symbol := range found {
				found[i] = before + symbol + ":"
			}
			return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
	)
}

// read is the name and the assets as far as they were said.
func (in *portfolioInput) read(stdin io.Reader) (name string, assets []events.Asset, err error) {
	if in.file != "" {
		if name, assets, err = readPortfolio(stdin, in.file); err != nil {
			return "", nil, err
		}
	} else if in.assets != "" {
		if assets, err = parseAssets(in.assets); err != nil {
			return "", nil, err
		}
	}
	if in.name != "" {
		name = in.name
	}
	return name, assets, nil
}

// parseAssets reads AAPL:60%,MSFT:40%.
func parseAssets(text string) ([]events.Asset, error) {
	var assets []events.Asset
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		symbol, weight, ok := strings.Cut(part, ":")
		if !ok {
			return nil, fault.Usage("assets_invalid", "%q has no weight", strings.TrimSpace(part)).
				WithHint("write symbols with their weights: AAPL:60%%,MSFT:40%%")
		}
		asset, err := asset(symbol, weight)
		if err != nil {
			return nil, err
		}
		assets = append(assets, asset)
	}
	return assets, nil
}

func asset(symbol, weight string) (events.Asset, error) {
	symbol, weight = strings.TrimSpace(symbol), strings.TrimSpace(weight)
	percent, isPercent := strings.CutSuffix(weight, "%")
	d, err := decimal.Parse(strings.TrimSpace(percent))
	if err == nil && isPercent {
		d, err = d.Quo(decimal.Hundred)
	}
	if err != nil {
		return events.Asset{}, fault.Usage("assets_invalid", "%q is not a weight of %s", weight, symbol).
			WithHint("write a ratio, such as 0.6 or 60%%")
	}
	return events.Asset{Symbol: symbol, Weight: d}, nil
}

// exact is a scalar as it is written, so that a number keeps its digits.
type exact string

func (e *exact) UnmarshalYAML(n *yaml.Node) error {
	*e = exact(n.Value)
	return nil
}

// readPortfolio reads JSON or YAML: what "stega portfolio get" prints, or assets as a map of weights.
func readPortfolio(stdin io.Reader, file string) (string, []events.Asset, error) {
	what := "the file " + file
	var text []byte
	var err error
	if file == "-" {
		what = "the standard input"
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return "", nil, fault.Usage("file_unreadable", "%s cannot be read", what).Because(err)
	}
	var body struct {
		Name   string    `yaml:"name"`
		Assets yaml.Node `yaml:"assets"`
	}
	if err := yaml.Unmarshal(text, &body); err != nil {
		return "", nil, notPortfolio(what).Because(err)
	}
	var list []struct {
		Symbol exact `yaml:"symbol"`
		Weight exact `yaml:"weight"`
	}
	if body.Assets.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(body.Assets.Content); i += 2 {
			list = append(list, struct {
				Symbol exact `yaml:"symbol"`
				Weight exact `yaml:"weight"`
			}{exact(body.Assets.Content[i].Value), exact(body.Assets.Content[i+1].Value)})
		}
	} else if body.Assets.Kind != 0 {
		if err := body.Assets.Decode(&list); err != nil {
			return "", nil, notPortfolio(what).Because(err)
		}
	}
	var assets []events.Asset
	for _, a := range list {
		asset, err := asset(string(a.Symbol), string(a.Weight))
		if err != nil {
			return "", nil, err
		}
		assets = append(assets, asset)
	}
	return body.Name, assets, nil
}

func notPortfolio(what string) *fault.Fault {
	return fault.Malformed("file_invalid", "%s has no portfolio", what).
		WithHint(`write JSON or YAML such as: {"name": "core", "assets": [{"symbol": "AAPL", "weight": "0.6"}, ` +
			`{"symbol": "MSFT", "weight": "0.4"}]}`)
}
