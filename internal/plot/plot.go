// Package plot draws series over time, points and matrices, with characters on a terminal or as SVG. Equal inputs
// give equal drawings.
package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
)

// Series holds points to draw: y[i] at x[i]. A point with a NaN or an infinity, or beyond 1e300, is omitted and
// interrupts a line.
type Series struct {
	Name string
	X, Y []float64
	// Line joins the points, in their order; the function Lines sets it for all series.
	Line bool
	// Labels names the points in an SVG: none, or one for each.
	Labels []string
}

// Options sets the appearance of a plot.
type Options struct {
	Title, XLabel, YLabel string
	// Width and Height are columns and lines of a terminal, or pixels of an SVG; 0 is a suitable size.
	Width, Height int
	SVG           bool
	Color         bool // of a terminal; an SVG always has colours
	ASCII         bool // only ASCII, for a terminal without other characters
	XDays         bool // x counts days from 1970-01-01, as civil.Date does
	XPercent      bool // ratios are shown as percents
	YPercent      bool
}

// The errors of input that cannot be drawn.
var (
	ErrNothing = errors.New("there is nothing to draw")
	ErrShape   = errors.New("the parts of the plot do not fit together")
)

// Lines draws each series as a line.
func Lines(w io.Writer, o Options, series ...Series) error {
	joined := make([]Series, len(series))
	for i, s := range series {
		joined[i], joined[i].Line = s, true
	}
	return draw(w, o, joined)
}

// Points draws each series as points, those with Line as a line.
func Points(w io.Writer, o Options, points ...Series) error { return draw(w, o, points) }

func draw(w io.Writer, o Options, series []Series) error {
	c, err := newChart(o, series)
	if err != nil {
		return err
	}
	if o.SVG {
		return c.svg(w)
	}
	return c.terminal(w)
}

// chart is series with their axes.
type chart struct {
	Options

	series []Series
	x, y   axis
}

func newChart(o Options, series []Series) (*chart, error) {
	c := &chart{Options: o, series: make([]Series, len(series))}
	c.x, c.y = emptyAxis(), emptyAxis()
	for i, s := range series {
		if len(s.X) != len(s.Y) || s.Labels != nil && len(s.Labels) != len(s.X) {
			return nil, fmt.Errorf("%w: series %q has %d x, %d y and %d labels", ErrShape, s.Name, len(s.X), len(s.Y),
				len(s.Labels))
		}
		s.Name = clean(s.Name)
		c.series[i] = s
		for t := range s.X {
			if drawable(s.X[t], s.Y[t]) {
				if o.XDays && (s.X[t] < firstDay || s.X[t] > lastDay) {
					return nil, fmt.Errorf("%w: series %q has an x that is not a day", ErrShape, s.Name)
				}
				c.x.include(s.X[t])
				c.y.include(s.Y[t])
			}
		}
	}
	if c.x.empty() {
		return nil, ErrNothing
	}
	c.Title, c.XLabel, c.YLabel = clean(o.Title), clean(o.XLabel), clean(o.YLabel)
	return c, nil
}

// firstDay and lastDay are the days of the years 1 to 9999.
const firstDay, lastDay = -719162, 2932896

// farthest limits drawn values, so that their sums stay finite.
const farthest = 1e300

func drawable(x, y float64) bool { return math.Abs(x) < farthest && math.Abs(y) < farthest }

// legend returns the indexes of the named series.
func (c *chart) legend() (named []int) {
	for i, s := range c.series {
		if s.Name != "" {
			named = append(named, i)
		}
	}
	if len(c.series) == 1 && c.Title != "" {
		return nil
	}
	return named
}

// clean removes characters that would move the cursor of a terminal or are invalid in XML.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
