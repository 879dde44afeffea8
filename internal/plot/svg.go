package plot

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The default size of an SVG in pixels, and the smallest.
const (
	usualWidth, usualHeight = 840, 420
	leastWidth, leastHeight = 240, 160
)

// hues are the colours of series by Okabe and Ito, distinguishable with colour blindness.
var hues = []string{"#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8A6D00", "#000000"}

func hue(series int) string { return hues[series%len(hues)] }

// sheet is an SVG under construction.
type sheet struct{ b strings.Builder }

func newSheet(width, height int, title string) *sheet {
	s := &sheet{}
	s.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" `+
		`font-family="sans-serif" font-size="12" fill="#222">`,
		width, height, width, height)
	if title != "" {
		s.add(`<title>%s</title>`, escape(title))
	}
	s.add(`<rect width="%d" height="%d" fill="#fff"/>`, width, height)
	if title != "" {
		s.text(float64(width)/2, 20, "middle", title, ` font-size="15"`)
	}
	return s
}

func (s *sheet) add(format string, args ...any) {
	_, _ = fmt.Fprintf(&s.b, format, args...)
	s.b.WriteByte('\n')
}

func (s *sheet) text(x, y float64, anchor, text, more string) {
	s.add(`<text x="%s" y="%s" text-anchor="%s"%s>%s</text>`, px(x), px(y), anchor, more, escape(text))
}

func (s *sheet) line(x1, y1, x2, y2 float64, stroke string) {
	s.add(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s"/>`, px(x1), px(y1), px(x2), px(y2), stroke)
}

func (s *sheet) end(w io.Writer) error {
	s.add("</svg>")
	_, err := io.WriteString(w, s.b.String())
	return err
}

// px formats a length in pixels, to a tenth.
func px(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}

// area is the drawing rectangle.
type area struct{ left, top, width, height float64 }

func (a area) x(share float64) float64 { return a.left + share*a.width }
func (a area) y(share float64) float64 { return a.top + (1-share)*a.height }

func (c *chart) svg(w io.Writer) error {
	width, height := c.size(usualWidth, usualHeight, leastWidth, leastHeight)
	s := newSheet(width, height, c.Title)
	in := area{left: 74, top: 34, width: float64(width) - 74 - 24, height: float64(height) - 34 - 40}
	if c.XLabel != "" {
		in.height -= 18
	}
	if named := c.legend(); named != nil {
		in.top, in.height = in.top+20, in.height-20
		c.svgLegend(s, in, named)
	}
	c.y.numbers(max(int(in.height/50), 2), c.YPercent)
	c.divideX(int(in.width / 7))
	c.svgAxes(s, in)
	for i := range c.series {
		c.svgSeries(s, in, i)
	}
	return s.end(w)
}

func (c *chart) svgLegend(s *sheet, in area, named []int) {
	x := in.left
	for _, i := range named {
		s.add(`<rect x="%s" y="%s" width="12" height="12" fill="%s"/>`, px(x), px(in.top-20), hue(i))
		s.text(x+17, in.top-10, "start", c.series[i].Name, "")
		x += 34 + 7*float64(len([]rune(c.series[i].Name)))
	}
}

func (c *chart) svgAxes(s *sheet, in area) {
	for _, t := range c.y.ticks {
		y := in.y(c.y.share(t.at))
		stroke := "#e4e4e4"
		if t.at == 0 && c.y.lo < 0 {
			stroke = "#999"
		}
		s.line(in.left, y, in.left+in.width, y, stroke)
		s.text(in.left-7, y+4, "end", t.text, "")
	}
	bottom := in.top + in.height
	for _, t := range c.x.ticks {
		x := in.x(c.x.share(t.at))
		s.line(x, bottom, x, bottom+5, "#666")
		s.text(x, bottom+18, "middle", t.text, "")
	}
	s.line(in.left, bottom, in.left+in.width, bottom, "#666")
	s.line(in.left, in.top, in.left, bottom, "#666")
	if c.XLabel != "" {
		s.text(in.left+in.width/2, bottom+36, "middle", c.XLabel, "")
	}
	if c.YLabel != "" {
		x, y := 16.0, in.top+in.height/2
		s.text(x, y, "middle", c.YLabel, fmt.Sprintf(` transform="rotate(-90 %s %s)"`, px(x), px(y)))
	}
}

func (c *chart) svgSeries(s *sheet, in area, i int) {
	series := c.series[i]
	if series.Line {
		for _, run := range c.runs(in, series) {
			s.add(`<polyline fill="none" stroke="%s" stroke-width="1.5" stroke-linejoin="round" `+
				`stroke-linecap="round" points="%s"/>`, hue(i), run)
		}
	}
	for t := range series.X {
		if !drawable(series.X[t], series.Y[t]) || series.Line && series.Labels == nil {
			continue
		}
		x, y := in.x(c.x.share(series.X[t])), in.y(c.y.share(series.Y[t]))
		s.add(`<circle cx="%s" cy="%s" r="4" fill="%s"/>`, px(x), px(y), hue(i))
		if series.Labels != nil {
			s.text(x+7, y+4, "start", clean(series.Labels[t]), ` font-size="11"`)
		}
	}
}

// runs returns the points of a line, a run for each part without a gap. A single point is a run of itself twice,
// which draws a dot. Points on the pixel of the previous one are omitted.
func (c *chart) runs(in area, series Series) (runs []string) {
	var run []string
	flush := func() {
		if len(run) == 1 {
			run = append(run, run[0])
		}
		if run != nil {
			runs = append(runs, strings.Join(run, " "))
		}
		run = nil
	}
	for t := range series.X {
		if !drawable(series.X[t], series.Y[t]) {
			flush()
			continue
		}
		at := px(in.x(c.x.share(series.X[t]))) + "," + px(in.y(c.y.share(series.Y[t])))
		if len(run) == 0 || run[len(run)-1] != at {
			run = append(run, at)
		}
	}
	flush()
	return runs
}
