package cmd

import (
	"errors"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"stega/civil"
	"stega/fault"
	"stega/internal/plot"
)

// picture draws something on a terminal or as SVG, whichever the options say; what it is, the options leave open.
type picture func(w io.Writer, o plot.Options) error

// plotFlag lets a command draw what it shows.
func (g *globals) plotFlag(c *cobra.Command, what string) {
	c.Flags().BoolVar(&g.plot, "plot", false, what)
}

// pictured reports whether a picture is asked for.
func (g *globals) pictured() bool {
	return g.format == asSVG || g.plot && g.format == asTable && !g.quiet
}

// paint draws a picture in the form that was asked for, on a terminal as wide as that is.
func (g *globals) paint(w io.Writer, draw picture) error {
	if draw == nil {
		return fault.Usage("plot_missing", "this has no picture").WithHint("leave out --plot and -o svg")
	}
	o := plot.Options{SVG: g.format == asSVG, Color: bool(painted(w)), ASCII: !unicodeTerm(), Width: columnsOf(w)}
	if o.SVG {
		o.Width = 0
	}
	err := draw(w, o)
	if errors.Is(err, plot.ErrNothing) {
		return fault.Invalid("plot_empty", "there is nothing to draw: no value is defined").
			WithHint("the reasons are in -o json")
	}
	return err
}

// usualColumns is the width of what is no terminal, and maxColumns that of the widest picture.
const (
	usualColumns = 100
	maxColumns   = 1000
)

// columnsOf is how wide a terminal is; COLUMNS stands for it elsewhere.
func columnsOf(w io.Writer) int {
	width := 0
	if f, ok := w.(*os.File); ok {
		width, _, _ = term.GetSize(int(f.Fd())) // 0 where there is none
	}
	return plotWidth(width, os.Getenv("COLUMNS"))
}

// plotWidth returns the width of a terminal, else that of a variable, else the usual one.
func plotWidth(terminal int, variable string) int {
	if terminal > 0 {
		return min(terminal, maxColumns)
	}
	if width, err := strconv.Atoi(variable); err == nil && width > 0 {
		return min(width, maxColumns)
	}
	return usualColumns
}

// daily is a series over days for a picture.
func daily(name string, days []civil.Date, values []*float64) plot.Series {
	s := plot.Series{Name: name, X: make([]float64, len(values)), Y: make([]float64, len(values))}
	for i, v := range values {
		s.X[i], s.Y[i] = float64(days[i]), math.NaN()
		if v != nil {
			s.Y[i] = *v
		}
	}
	return s
}
