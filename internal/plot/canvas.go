package plot

import "math"

// canvas is a raster of cells, each of 2 by 4 dots, like braille characters, or of one.
type canvas struct {
	columns, rows int
	wide, high    int // dots of a cell
	dots          []byte
	owner         []int // of each cell: the last series drawn there, or −1
	mark          []rune
}

func newCanvas(columns, rows int, braille bool) *canvas {
	c := &canvas{columns: columns, rows: rows, wide: 1, high: 1}
	if braille {
		c.wide, c.high = 2, 4
	}
	c.dots, c.owner, c.mark = make([]byte, columns*rows), make([]int, columns*rows), make([]rune, columns*rows)
	for i := range c.owner {
		c.owner[i] = -1
	}
	return c
}

// bits are the bits of braille dots, from the top of the left column down.
var bits = [2][4]byte{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}

// locate returns the dot at shares of the width and height; y grows upwards.
func (c *canvas) locate(x, y float64) (column, row int) {
	across, down := float64(c.columns*c.wide-1), float64(c.rows*c.high-1)
	return int(math.Round(x * across)), int(math.Round((1 - y) * down))
}

// dot sets one dot; a mark other than 0 replaces the dots of its cell.
func (c *canvas) dot(column, row, series int, mark rune) {
	if column < 0 || row < 0 || column >= c.columns*c.wide || row >= c.rows*c.high {
		return
	}
	i := row/c.high*c.columns + column/c.wide
	c.dots[i] |= bits[column%c.wide][row%c.high]
	c.owner[i] = series
	if mark != 0 {
		c.mark[i] = mark
	}
}

// line sets the dots between two points (Bresenham).
func (c *canvas) line(x0, y0, x1, y1, series int, mark rune) {
	dx, dy := abs(x1-x0), -abs(y1-y0)
	sx, sy := sign(x1-x0), sign(y1-y0)
	for e := dx + dy; ; {
		c.dot(x0, y0, series, mark)
		if x0 == x1 && y0 == y1 {
			return
		}
		twice := 2 * e
		if twice >= dy {
			e, x0 = e+dy, x0+sx
		}
		if twice <= dx {
			e, y0 = e+dx, y0+sy
		}
	}
}

func abs(v int) int {
	if v < 0 {
		return -v
	}
	return v
}

func sign(v int) int {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// cell returns the character and the series of a cell; 0 if it is empty.
func (c *canvas) cell(column, row int) (r rune, series int) {
	i := row*c.columns + column
	switch {
	case c.mark[i] != 0:
		return c.mark[i], c.owner[i]
	case c.dots[i] != 0:
		return 0x2800 + rune(c.dots[i]), c.owner[i]
	}
	return 0, -1
}
