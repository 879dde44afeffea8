package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"stega/civil"
	"stega/client"
	"stega/fault"
)

// The synthetic market: days of the past, symbols that say what they are, and portfolios that do so too.
const (
	demoYears = 5
	demoNote  = "(demo, synthetic)"
)

var demoSymbols = []string{
	"DEMO-TECH", "DEMO-BANK", "DEMO-OIL", "DEMO-FOOD", "DEMO-PHARMA", "DEMO-CARS", "DEMO-POWER", "DEMO-GOLD", "DEMO-BONDS", "DEMO-INDEX",
}

// demoPortfolios are what is made of it.
var demoPortfolios = []struct {
	name   string
	assets string
}{
	{"sixty forty", "DEMO-INDEX:0.6,DEMO-BONDS:0.4"},
	{"growth", "DEMO-TECH:0.5,DEMO-CARS:0.3,DEMO-PHARMA:0.2"},
	{"long short", "DEMO-BANK:1.3,DEMO-OIL:-0.3"},
}

// demoPrices is the synthetic market as a file: geometric Brownian motion on one common factor, the same for the same
// seed.
func demoPrices(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0x57e6a))
	prices := make([]float64, len(demoSymbols))
	for i := range prices {
		prices[i] = 20 + 15*float64(i)
	}
	var b bytes.Buffer
	b.WriteString("date")
	for _, s := range demoSymbols {
		b.WriteString("," + s)
	}
	b.WriteString("\n")
	last := civil.Of(2025, time.December, 31)
	for day := civil.Of(2025-demoYears+1, time.January, 1); day <= last; day = day.AddDays(1) {
		if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
			continue
		}
		market := random.NormFloat64()
		b.WriteString(day.String())
		for i := range prices {
			beta, own, drift := 0.3+0.1*float64(i%6), 0.006+0.0008*float64(i), 0.0001+0.00004*float64(i)
			if demoSymbols[i] == "DEMO-BONDS" {
				beta, own = -0.05, 0.002
			}
			prices[i] *= math.Exp(drift + 0.009*beta*market + own*random.NormFloat64())
			_, _ = fmt.Fprintf(&b, ",%.2f", prices[i])
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

// runDemo sends the synthetic market to a running stega, like any client would. What is there already stays as it is.
func runDemo(ctx context.Context, out io.Writer, at place, seed uint64) error {
	cl, err := at.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	say := func(format string, args ...any) { printf(out, "demo: "+format+"\n", args...) }
	say("importing %d years of %d synthetic symbols", demoYears, len(demoSymbols))
	wait := client.Wait{For: client.ForResolved}
	if _, err := cl.Submit(ctx, client.ImportPrices(bytes.NewReader(demoPrices(seed)), "", ""), wait); err != nil {
		return fmt.Errorf("import the demo's prices: %w", err)
	}
	for _, p := range demoPortfolios {
		name := p.name + " " + demoNote
		assets, err := parseAssets(p.assets)
		if err != nil {
			return err
		}
		op, err := cl.Submit(ctx, client.CreatePortfolio(name, assets), wait)
		f, ok := errors.AsType[*fault.Fault](err)
		switch {
		case ok && f.Code == "name_taken":
			say("portfolio %q is there already", name)
		case err != nil:
			return fmt.Errorf("make the demo's portfolio %s: %w", p.name, err)
		default:
			say("portfolio %q: %s/v1/returns/portfolios/%s", name, at.URL, op.EntityID)
		}
	}
	return nil
}
