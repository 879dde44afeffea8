package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"stega/civil"
	"stega/client"
	"stega/fault"
)

// demo is what stega up --demo brings along: a synthetic market, portfolios of it, and an optimization that follows
// one.
type demo struct {
	on   bool
	live bool
	seed uint64
}

const (
	demoHeld = 250             // days that --live holds back
	demoTick = 5 * time.Second // between two days of --live
)

// demoPortfolios are the portfolios of the demo.
var demoPortfolios = []struct{ name, assets string }{
	{"growth", "DEMO-TECH:0.35,DEMO-CHIPS:0.2,DEMO-CARS:0.2,DEMO-PHARMA:0.25"},
	{"sixty-forty", "DEMO-INDEX:0.6,DEMO-BONDS:0.4"},
	{"all-weather", "DEMO-INDEX:0.3,DEMO-FOOD:0.1,DEMO-POWER:0.1,DEMO-BONDS:0.35,DEMO-GOLD:0.15"},
}

const demoOptimization = "calm-growth"

// run sends the synthetic market to a running server, as any client would. What is there already stays as it is.
func (d demo) run(ctx context.Context, out io.Writer, at place) error {
	cl, err := at.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	say := func(format string, args ...any) { printf(out, "demo: "+format+"\n", args...) }
	days := demoMarket(d.seed, civil.FromTime(time.Now().UTC()).AddDays(-1))
	held := 0
	if d.live {
		held = min(demoHeld, len(days)/2)
	}
	now, later := days[:len(days)-held], days[len(days)-held:]
	say("importing %d synthetic symbols, %s to %s", len(now[0].rows), now[0].day, now[len(now)-1].day)
	settled := client.Wait{For: client.ForSettled}
	if _, err := cl.Submit(ctx, client.ImportPrices(strings.NewReader(demoFile(now)), "", ""), settled); err != nil {
		return fmt.Errorf("import the demo's prices: %w", err)
	}
	var names []string
	for _, p := range demoPortfolios {
		names = append(names, p.name)
		assets, err := parseAssets(p.assets)
		if err != nil {
			return err
		}
		_, err = cl.Submit(ctx, client.CreatePortfolio(p.name, assets), settled)
		if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == "name_taken" {
			continue
		}
		if err != nil {
			return fmt.Errorf("create the demo's portfolio %s: %w", p.name, err)
		}
	}
	if err := d.optimize(ctx, at, cl); err != nil {
		return err
	}
	say(
		"portfolios %s; optimization %s follows growth. In another terminal, try", strings.Join(names, ", "),
		demoOptimization,
	)
	for _, example := range []string{
		"stega returns sixty-forty --benchmark DEMO-INDEX",
		"stega returns growth --drawdowns --plot",
		"stega correlations --portfolio all-weather --cluster --plot",
		"stega frontier --portfolio growth --plot",
		"stega allocate " + demoOptimization + " --amount 10000",
	} {
		printf(out, "  %s\n", example)
	}
	if d.live {
		say("a day of the market every %s from %s on: stega watch 'returns.*'", demoTick, later[0].day)
		return d.play(ctx, cl, later, say)
	}
	return nil
}

// optimize creates the optimization that follows the portfolio growth, unless it is there.
func (d demo) optimize(ctx context.Context, at place, cl *client.Client) error {
	growth, err := findPortfolio(ctx, at, cl, demoPortfolios[0].name)
	if err != nil {
		return err
	}
	saved, err := cl.Optimizations(ctx, client.Page{}, growth.ID)
	if err != nil || len(saved.Value.Items) > 0 {
		return err
	}
	upper := .5
	request := client.OptimizationRequest{
		Name: demoOptimization, PortfolioID: growth.ID, Follow: true, Objective: "min_volatility",
		Bounds: &client.Range{Upper: &upper},
	}
	if _, err = cl.Submit(ctx, client.Optimize(request), client.Wait{For: client.ForResolved}); err != nil {
		return fmt.Errorf("create the demo's optimization: %w", err)
	}
	return nil
}

// play imports the days that were held back, one after the other, until there are no more or ctx ends.
func (d demo) play(ctx context.Context, cl *client.Client, days []demoDay, say func(string, ...any)) error {
	tick := time.NewTicker(demoTick)
	defer tick.Stop()
	for i := range days {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		file := strings.NewReader(demoFile(days[i : i+1]))
		if _, err := cl.Submit(ctx, client.ImportPrices(file, "", ""),
			client.Wait{For: client.ForResolved}); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("import a day of the demo: %w", err)
		}
	}
	say("the market has reached %s", days[len(days)-1].day)
	return nil
}
