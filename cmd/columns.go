package cmd

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"stega/text"
)

// column is one column of a list: its heading for people, and how a table and CSV show a value.
type column[T any] struct {
	head     string         // a heading that begins with ">" has its column aligned to the right; empty: not in tables
	value    func(T) string // in tables, and in CSV too unless exact is set
	csv      string         // the name in CSV; empty: the heading in lower case; "-": not in CSV
	exact    func(T) string // in CSV, with all digits
	wide     bool           // in tables only with -o wide
	verbatim bool           // the heading is a name, and stays as it is
}

// columns describe how a list is shown. Tables, CSV and ids have this one description.
type columns[T any] []column[T]

// number returns a column of a number: people read it as show formats it, programs with all its digits.
func number[T any](head, csv string, show func(*float64) string, of func(T) *float64) column[T] {
	return column[T]{
		head:  ">" + head,
		csv:   csv,
		value: func(v T) string { return show(of(v)) },
		exact: func(v T) string { return exactly(of(v)) },
	}
}

// view returns the items as a view; id names an item for --quiet, and is nil for what has no ids.
func (cs columns[T]) view(items []T, id func(T) string) view {
	v := view{csv: &table{verbatim: true}}
	for _, c := range cs {
		if c.head != "" {
			v.table.head, v.table.wide = append(v.table.head, c.head), append(v.table.wide, c.wide)
		}
		if c.csv != "-" {
			v.csv.head = append(v.csv.head, c.csvName())
		}
	}
	for _, item := range items {
		people, programs := make([]string, 0, len(cs)), make([]string, 0, len(cs))
		for _, c := range cs {
			if c.head != "" {
				people = append(people, c.value(item))
			}
			if c.csv == "-" {
				continue
			}
			if c.exact != nil {
				programs = append(programs, c.exact(item))
			} else {
				programs = append(programs, c.value(item))
			}
		}
		v.table.add(people...)
		v.csv.add(programs...)
		if id != nil {
			v.ids = append(v.ids, id(item))
		}
	}
	return v
}

func (c column[T]) csvName() string {
	if c.csv != "" || c.verbatim {
		return c.csv
	}
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(c.head, ">")), " ", "_")
}

// table is text in columns; a heading that begins with ">" has its column aligned to the right. A row with one cell
// of several is a heading among the rows, as wide as it is.
type table struct {
	head     []string
	wide     []bool // of columns that are shown only with -o wide; nil: none
	rows     [][]string
	verbatim bool // the headings are names
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// narrow returns the table without its wide columns.
func (t *table) narrow() *table {
	if !slices.Contains(t.wide, true) {
		return t
	}
	keep := func(cells []string) []string {
		if len(cells) != len(t.head) {
			return cells
		}
		var kept []string
		for i, cell := range cells {
			if !t.wide[i] {
				kept = append(kept, cell)
			}
		}
		return kept
	}
	out := &table{head: keep(t.head), verbatim: t.verbatim}
	for _, row := range t.rows {
		out.rows = append(out.rows, keep(row))
	}
	return out
}

// leastCell is the width to which a column may be cut when a terminal is narrow.
const leastCell = 8

// fit cuts the widths of the widest columns of text until they fit; numbers are never cut. A width of 0 is no bound.
func (t *table) fit(widths []int, width int) {
	if width <= 0 {
		return
	}
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := -1
		for i, w := range widths {
			if !strings.HasPrefix(t.head[i], ">") && w > leastCell && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

// cut shortens a cell to a width, and marks that it did.
func cut(cell string, width int) string {
	if utf8.RuneCountInString(cell) <= width {
		return cell
	}
	return string([]rune(cell)[:width-1]) + "…"
}

// write writes the table for people, at most as wide as the terminal.
func (t *table) write(w io.Writer) error {
	widths, rows := make([]int, len(t.head)), t.visible()
	for i, h := range t.head {
		widths[i] = utf8.RuneCountInString(text.Visible(strings.TrimPrefix(h, ">")))
		for _, row := range rows {
			if len(row) == len(t.head) {
				widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
			}
		}
	}
	t.fit(widths, tableWidth(w))
	var b strings.Builder
	line := func(cells []string) {
		var row strings.Builder
		for i, cell := range cells {
			if len(cells) == len(t.head) && len(cells) > 1 {
				cell = cut(cell, max(widths[i], 1))
			}
			pad := strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(cell), 0))
			if strings.HasPrefix(t.head[i], ">") {
				row.WriteString(pad + cell + "  ")
			} else {
				row.WriteString(cell + pad + "  ")
			}
		}
		b.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
	if strings.Trim(strings.Join(t.head, ""), ">") != "" {
		head := make([]string, len(t.head))
		for i, h := range t.head {
			head[i] = text.Visible(strings.TrimPrefix(h, ">"))
		}
		line(head)
	}
	for _, row := range rows {
		line(row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tableWidth returns the width that a table must fit: that of a terminal, or what COLUMNS names; 0 elsewhere.
func tableWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	width, _ := strconv.Atoi(os.Getenv("COLUMNS"))
	return width
}
