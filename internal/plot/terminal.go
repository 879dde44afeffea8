package plot

import (
	"io"
	"strings"
	"unicode/utf8"
)

// The default size on a terminal, and the smallest.
const (
	usualColumns, usualLines = 80, 20
	leastColumns, leastLines = 24, 8
)

// marks draw points, and lines where colours cannot distinguish them.
var (
	marks      = []rune("●○▲△■□◆◇")
	asciiMarks = []rune("*o+x#@%&")
	// colours are ANSI's: cyan, yellow, magenta, green, red, blue.
	colours = []string{"36", "33", "35", "32", "31", "34"}
)

// frame holds the characters of the axes.
type frame struct {
	side, sideTick, corner, bottom, bottomTick, zero string
}

var (
	boxes = frame{"│", "┤", "└", "─", "┬", "·"}
	ascii = frame{"|", "+", "+", "-", "+", "."}
)

func (o Options) frame() frame {
	if o.ASCII {
		return ascii
	}
	return boxes
}

// mark returns the mark of a series.
func (o Options) mark(series int) rune {
	if o.ASCII {
		return asciiMarks[series%len(asciiMarks)]
	}
	return marks[series%len(marks)]
}

// lineMark returns the mark of a line; 0 stands for braille dots.
func (c *chart) lineMark(series int) rune {
	if c.ASCII || len(c.series) > 1 && !c.Color {
		return c.mark(series)
	}
	return 0
}

func (o Options) paint(series int, text string) string {
	if !o.Color || series < 0 {
		return text
	}
	return "\x1b[" + colours[series%len(colours)] + "m" + text + "\x1b[0m"
}

func (c *chart) terminal(w io.Writer) error {
	width, height := c.size(usualColumns, usualLines, leastColumns, leastLines)
	head := c.head()
	rows := max(height-len(head)-2-count(c.XLabel), 3)
	c.y.numbers(max(rows/4, 2), c.YPercent)
	gutter := 0
	for _, t := range c.y.ticks {
		gutter = max(gutter, utf8.RuneCountInString(t.text))
	}
	columns := max(width-gutter-1, 10)
	c.divideX(columns)
	body := c.raster(columns, rows)
	lines := append(head, c.rowsOf(body, gutter)...)
	lines = append(lines, c.foot(columns, gutter)...)
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

func count(text string) int {
	if text == "" {
		return 0
	}
	return 1
}

// size returns the given size, or the default one, and at least the smallest.
func (o Options) size(usualWidth, usualHeight, leastWidth, leastHeight int) (width, height int) {
	width, height = o.Width, o.Height
	if width <= 0 {
		width = usualWidth
	}
	if height <= 0 {
		height = usualHeight
	}
	return max(width, leastWidth), max(height, leastHeight)
}

// divideX divides the x axis for a number of columns of text.
func (c *chart) divideX(columns int) {
	if c.XDays {
		c.x.days(columns)
	} else {
		c.x.numbers(max(columns/12, 2), c.XPercent)
	}
}

// head returns the title and the legend.
func (c *chart) head() (lines []string) {
	if c.Title != "" {
		lines = append(lines, c.Title)
	}
	var names []string
	for _, i := range c.legend() {
		m := c.mark(i)
		if c.series[i].Line && c.lineMark(i) == 0 {
			m = '━'
		}
		names = append(names, c.paint(i, string(m))+" "+c.series[i].Name)
	}
	if names != nil {
		lines = append(lines, strings.Join(names, "   "))
	}
	if c.YLabel != "" {
		lines = append(lines, c.YLabel)
	}
	return lines
}

func (c *chart) raster(columns, rows int) *canvas {
	body := newCanvas(columns, rows, !c.ASCII)
	for i, s := range c.series {
		var x0, y0 int
		joined := false
		for t := range s.X {
			if !drawable(s.X[t], s.Y[t]) {
				joined = false
				continue
			}
			x, y := body.locate(c.x.share(s.X[t]), c.y.share(s.Y[t]))
			switch {
			case !s.Line:
				body.dot(x, y, i, c.mark(i))
			case joined:
				body.line(x0, y0, x, y, i, c.lineMark(i))
			default:
				body.dot(x, y, i, c.lineMark(i))
			}
			x0, y0, joined = x, y, true
		}
	}
	return body
}

// rowsOf returns the raster beside its axis.
func (c *chart) rowsOf(body *canvas, gutter int) []string {
	f := c.frame()
	at := map[int]string{}
	zero := -1
	for _, t := range c.y.ticks {
		_, row := body.locate(0, c.y.share(t.at))
		at[row/body.high] = t.text
	}
	if c.y.lo < 0 && c.y.hi > 0 {
		_, row := body.locate(0, c.y.share(0))
		zero = row / body.high
	}
	lines := make([]string, body.rows)
	for row := range lines {
		var b strings.Builder
		text, side := at[row], f.side
		if text != "" {
			side = f.sideTick
		}
		b.WriteString(strings.Repeat(" ", gutter-utf8.RuneCountInString(text)) + text + side)
		b.WriteString(c.cells(body, row, row == zero))
		lines[row] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// cells returns one row of the raster; neighbours of one colour share an escape sequence.
func (c *chart) cells(body *canvas, row int, zero bool) string {
	var out, run strings.Builder
	last := -1
	flush := func(next int) {
		if next != last && run.Len() > 0 {
			out.WriteString(c.paint(last, run.String()))
			run.Reset()
		}
		last = next
	}
	for column := range body.columns {
		r, series := body.cell(column, row)
		flush(series)
		switch {
		case r != 0:
			run.WriteRune(r)
		case zero:
			run.WriteString(c.frame().zero)
		default:
			run.WriteByte(' ')
		}
	}
	flush(-2)
	return out.String()
}

// foot returns the x axis with its ticks and its name.
func (c *chart) foot(columns, gutter int) []string {
	f := c.frame()
	axis, text := make([]string, columns), []rune(strings.Repeat(" ", gutter+1+columns))
	for i := range axis {
		axis[i] = f.bottom
	}
	free := 0
	for _, t := range c.x.ticks {
		column := int(c.x.share(t.at)*float64(columns-1) + 0.5)
		width := utf8.RuneCountInString(t.text)
		at := min(max(gutter+1+column-width/2, 0), len(text)-width)
		if column < 0 || column >= columns || at < free {
			continue
		}
		axis[column] = f.bottomTick
		copy(text[at:], []rune(t.text))
		free = at + width + 1
	}
	pad := strings.Repeat(" ", gutter)
	lines := []string{pad + f.corner + strings.Join(axis, ""), strings.TrimRight(string(text), " ")}
	if c.XLabel != "" {
		lines = append(lines, pad+" "+c.XLabel)
	}
	return lines
}
