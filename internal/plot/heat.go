package plot

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Heat draws a square matrix: values[i][j] in the row of labels[i] and the column of labels[j]. Colours go from lo
// (blue) over the middle to hi (red); the middle is 0 if that is between them. A NaN has no colour. A terminal too
// narrow for the numbers shows only colours, or shades without colours. If it is too narrow for those, it shows means
// of blocks.
func Heat(w io.Writer, o Options, labels []string, values [][]float64, lo, hi float64) error {
	h, err := newHeat(o, labels, values, lo, hi)
	if err != nil {
		return err
	}
	if o.SVG {
		return h.svg(w)
	}
	return h.terminal(w)
}

type heat struct {
	Options

	labels []string
	values [][]float64
	lo, hi float64
}

func newHeat(o Options, labels []string, values [][]float64, lo, hi float64) (*heat, error) {
	if len(labels) == 0 {
		return nil, ErrNothing
	}
	if len(values) != len(labels) || !(lo < hi) || math.IsInf(hi-lo, 0) {
		return nil, fmt.Errorf("%w: %d labels, %d rows, values from %g to %g", ErrShape, len(labels), len(values), lo,
			hi)
	}
	h := &heat{Options: o, labels: make([]string, len(labels)), values: values, lo: lo, hi: hi}
	h.Title = clean(o.Title)
	for i, row := range values {
		if len(row) != len(labels) {
			return nil, fmt.Errorf("%w: row %d has %d values for %d labels", ErrShape, i+1, len(row), len(labels))
		}
		h.labels[i] = clean(labels[i])
	}
	return h, nil
}

// warmth returns the position of a value between cold, −1, and hot, 1; 0 is the middle.
func (h *heat) warmth(v float64) float64 {
	v = math.Min(math.Max(v, h.lo), h.hi)
	if h.lo < 0 && h.hi > 0 {
		if v < 0 {
			return -v / h.lo
		}
		return v / h.hi
	}
	return (v-h.lo)/(h.hi-h.lo)*2 - 1
}

// rgb returns a colour: blue for −1, white for 0, red for 1.
func rgb(warmth float64) (r, g, b int) {
	fade := func(to int) int { return 255 - int(math.Round(math.Abs(warmth)*float64(255-to))) }
	if warmth < 0 {
		return fade(33), fade(102), fade(172)
	}
	return fade(178), fade(24), fade(43)
}

// dark reports whether a colour needs light text.
func dark(warmth float64) bool { return math.Abs(warmth) > 0.6 }

// digits formats a value of a cell.
func (h *heat) digits(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case h.YPercent:
		return strconv.FormatFloat(v*100, 'f', 0, 64) + "%"
	case math.Max(math.Abs(h.lo), math.Abs(h.hi)) < 0.1 || math.Abs(v) >= 1e6:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// longestLabel limits the shown length of a label on a terminal.
const longestLabel = 12

func cut(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}
	return text
}

func right(text string, n int) string {
	return strings.Repeat(" ", max(n-utf8.RuneCountInString(text), 0)) + text
}

func (h *heat) terminal(w io.Writer) error {
	width, _ := h.size(usualColumns, usualLines, leastColumns, leastLines)
	gutter := 0
	for i := range h.labels {
		h.labels[i] = cut(h.labels[i], longestLabel)
		gutter = max(gutter, utf8.RuneCountInString(h.labels[i]))
	}
	cell := 0
	for _, row := range h.values {
		for _, v := range row {
			cell = max(cell, len(h.digits(v))+2)
		}
	}
	var lines []string
	if h.Title != "" {
		lines = append(lines, h.Title)
	}
	if gutter+cell*len(h.labels) <= width {
		lines = append(lines, h.numbers(gutter, cell)...)
	} else {
		lines = append(lines, h.shades(gutter, width)...)
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// numbers returns the rows with their values.
func (h *heat) numbers(gutter, cell int) []string {
	head := strings.Repeat(" ", gutter)
	for _, label := range h.labels {
		head += right(cut(label, cell-1), cell)
	}
	lines := []string{head}
	for i, row := range h.values {
		line := h.labels[i] + strings.Repeat(" ", gutter-utf8.RuneCountInString(h.labels[i]))
		for _, v := range row {
			line += h.coloured(v, right(h.digits(v), cell))
		}
		lines = append(lines, line)
	}
	return lines
}

// shades returns the rows without values: a column of labels beside cells of one or two columns.
func (h *heat) shades(gutter, width int) []string {
	block := 1
	for gutter+1+(len(h.labels)+block-1)/block > width {
		block++
	}
	labels, values := h.blocks(block)
	cell := 1
	if gutter+1+2*len(labels) <= width {
		cell = 2
	}
	lines := h.upright(labels, gutter, cell)
	for i, row := range values {
		line := labels[i] + strings.Repeat(" ", gutter+1-utf8.RuneCountInString(labels[i]))
		for _, v := range row {
			line += h.shade(v, cell)
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	if block > 1 {
		lines = append(lines, fmt.Sprintf("each cell is the mean of %d by %d", block, block))
	}
	return append(lines, h.key())
}

// upright returns labels that read downwards.
func (h *heat) upright(labels []string, gutter, cell int) (lines []string) {
	for depth := range longestLabel {
		line, any := strings.Repeat(" ", gutter+1), false
		for _, label := range labels {
			r := []rune(label)
			c := " "
			if depth < len(r) {
				c, any = string(r[depth]), true
			}
			line += c + strings.Repeat(" ", cell-1)
		}
		if !any {
			break
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

// blocks returns the means of squares of cells, named by the first label of each.
func (h *heat) blocks(size int) (labels []string, values [][]float64) {
	if size == 1 {
		return h.labels, h.values
	}
	n := len(h.labels)
	for i := 0; i < n; i += size {
		labels = append(labels, h.labels[i])
		row := []float64{}
		for j := 0; j < n; j += size {
			sum, count := 0.0, 0.0
			for _, r := range h.values[i:min(i+size, n)] {
				for _, v := range r[j:min(j+size, n)] {
					if !math.IsNaN(v) {
						sum, count = sum+v, count+1
					}
				}
			}
			row = append(row, sum/count)
		}
		values = append(values, row)
	}
	return labels, values
}

// ramp goes from cold to hot without colours.
var ramp = []string{" ", "░", "▒", "▓", "█"}
var asciiRamp = []string{" ", ".", "+", "#", "@"}

func (h *heat) shade(v float64, cell int) string {
	if h.Color {
		return h.coloured(v, strings.Repeat(" ", cell))
	}
	steps := ramp
	if h.ASCII {
		steps = asciiRamp
	}
	if math.IsNaN(v) {
		return strings.Repeat("-", cell)
	}
	return strings.Repeat(steps[int(math.Round((h.warmth(v)+1)/2*float64(len(steps)-1)))], cell)
}

// key returns the legend of the shades.
func (h *heat) key() string {
	middle := (h.lo + h.hi) / 2
	if h.lo < 0 && h.hi > 0 {
		middle = 0
	}
	text := ""
	for _, v := range []float64{h.lo, middle, h.hi} {
		text += h.shade(v, 2) + " " + h.digits(v) + "   "
	}
	return strings.TrimRight(text, " ")
}

// coloured returns text on the colour of a value.
func (h *heat) coloured(v float64, text string) string {
	if !h.Color || math.IsNaN(v) {
		return text
	}
	warm := h.warmth(v)
	r, g, b := rgb(warm)
	ink := 16
	if dark(warm) {
		ink = 231
	}
	return fmt.Sprintf("\x1b[38;5;%d;48;5;%dm%s\x1b[0m", ink, cube(r, g, b), text)
}

// cube returns the nearest of the 216 terminal colours.
func cube(r, g, b int) int {
	level := func(v int) int {
		if v < 48 {
			return 0
		}
		return min(max((v-35)/40, 1), 5)
	}
	return 16 + 36*level(r) + 6*level(g) + level(b)
}

func (h *heat) svg(w io.Writer) error {
	n := len(h.labels)
	longest := 0
	for _, label := range h.labels {
		longest = max(longest, utf8.RuneCountInString(label))
	}
	side := 34.0
	switch {
	case h.Width > 0:
		side = math.Max(float64(h.Width-30-7*longest)/float64(n), 2)
	case n > 24:
		side = math.Max(840/float64(n), 2)
	}
	in := area{left: 16 + letter*float64(longest), top: 36 + letter*float64(longest), width: side * float64(n),
		height: side * float64(n)}
	width := in.left + in.width + 16
	if room := letter*float64(utf8.RuneCountInString(h.Title)) + 16 - width; room > 0 { // the title is wider
		in.left += room / 2
		width += room
	}
	s := newSheet(int(width), int(in.top+in.height)+16, h.Title)
	for i, row := range h.values {
		y := in.top + float64(i)*side
		if side >= 9 {
			s.text(in.left-6, y+side/2+4, "end", h.labels[i], size(side))
			x := in.left + (float64(i)+0.5)*side
			s.text(x+4, in.top-6, "start", h.labels[i],
				size(side)+fmt.Sprintf(` transform="rotate(-90 %s %s)"`, px(x+4), px(in.top-6)))
		}
		for j, v := range row {
			h.svgCell(s, in.left+float64(j)*side, y, side, v, h.labels[i]+" "+h.labels[j])
		}
	}
	return s.end(w)
}

// letter is the width of a letter in pixels, rather too wide.
const letter = 8.5

func size(side float64) string {
	return fmt.Sprintf(` font-size="%s"`, px(math.Min(12, side*0.8)))
}

func (h *heat) svgCell(s *sheet, x, y, side float64, v float64, name string) {
	fill, ink := "#ddd", "#222"
	if !math.IsNaN(v) {
		warm := h.warmth(v)
		r, g, b := rgb(warm)
		fill = fmt.Sprintf("#%02x%02x%02x", r, g, b)
		if dark(warm) {
			ink = "#fff"
		}
	}
	s.add(`<rect x="%s" y="%s" width="%s" height="%s" fill="%s"><title>%s %s</title></rect>`, px(x), px(y), px(side),
		px(side), fill, escape(name), h.digits(v))
	if side >= 30 {
		s.text(x+side/2, y+side/2+4, "middle", h.digits(v),
			fmt.Sprintf(` font-size="%s" fill="%s"`, px(math.Min(11, side/3)), ink))
	}
}
