package cmd

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"stega/api"
	"stega/client"
	"stega/fault"
	"stega/text"
)

// The forms of output.
const (
	asTable = "table"
	asWide  = "wide" // a table with all columns
	asJSON  = "json"
	asYAML  = "yaml"
	asCSV   = "csv" // of commands that say so, as asSVG
	asSVG   = "svg"
)

// outputs is the annotation of a command that has more forms of output than all have.
const outputs = "outputs"

// csvToo annotates a command that has CSV too.
var csvToo = map[string]string{outputs: asCSV}

// alsoAs adds forms of output to a command.
func alsoAs(c *cobra.Command, forms ...string) *cobra.Command {
	return annotate(c, outputs, strings.Join(forms, " "))
}

// formsOf returns the forms of output of a command.
func formsOf(c *cobra.Command) []string {
	return append([]string{asTable, asWide, asJSON, asYAML}, strings.Fields(c.Annotations[outputs])...)
}

func checkFormat(c *cobra.Command, format string) error {
	forms := formsOf(c)
	if slices.Contains(forms, format) {
		return nil
	}
	hint := "one of: -o " + strings.Join(forms[:len(forms)-1], ", -o ") + " or -o " + forms[len(forms)-1]
	if format == asCSV || format == asSVG {
		return fault.Usage("output_unknown", "%s has no output %q", c.CommandPath(), format).WithHint("%s", hint)
	}
	return fault.Usage("output_unknown", "unknown output %q", format).WithHint("%s", hint)
}

// view is something that can be shown in each form: as the JSON that it came as, as ids, as a table for people and
// one for programs, and as a picture.
type view struct {
	raw   json.RawMessage
	ids   []string
	table table
	note  string  // said to people when the table is empty
	csv   *table  // nil: the table for people has plain values
	draw  picture // nil: there is none
}

// show writes data to the standard output, in the form that was asked for.
func (g *globals) show(c *cobra.Command, v view) error {
	w := c.OutOrStdout()
	switch {
	case g.quiet:
		for _, id := range v.ids {
			if err := writef(w, "%s\n", id); err != nil {
				return err
			}
		}
		return nil
	case g.format == asCSV:
		if v.csv == nil {
			v.csv = &v.table
		}
		return v.csv.csv(w, g.raw)
	case g.format == asSVG || g.plot && g.format == asTable:
		return g.paint(w, v.draw)
	case g.format != asTable:
		return printRaw(w, g.format, v.raw)
	case len(v.table.rows) == 0:
		if v.note != "" {
			printf(c.ErrOrStderr(), "%s\n", v.note)
		}
		return nil
	case g.wide:
		return v.table.write(w)
	}
	return v.table.narrow().write(w)
}

// printRaw writes JSON indented, or as YAML.
func printRaw(w io.Writer, format string, raw json.RawMessage) error {
	var b bytes.Buffer
	if format == asYAML {
		lines, err := toYAML(raw)
		if err != nil {
			return err
		}
		return writeLines(w, lines)
	}
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	b.WriteByte('\n')
	return writeJSON(w, b.Bytes())
}

// toYAML writes JSON as YAML, with the fields in their order and the scalars as they are.
func toYAML(raw json.RawMessage) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(raw, &node); err != nil {
		return nil, fmt.Errorf("print the answer: %w", err)
	}
	var plain func(n *yaml.Node)
	plain = func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!str" {
			n.Style = 0
		}
		if n.Tag == "!!str" &&
			// quotes, in which escapes count
			(oldBoolean[strings.ToLower(n.Value)] || text.Visible(n.Value) != n.Value) {
			n.Style = yaml.DoubleQuotedStyle
		}
		for _, child := range n.Content {
			plain(child)
		}
	}
	plain(&node)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&node); err != nil {
		return nil, fmt.Errorf("print the answer: %w", err)
	}
	return b.Bytes(), e.Close()
}

// oldBoolean are words that are true or false to readers of YAML 1.1.
var oldBoolean = map[string]bool{"y": true, "n": true, "yes": true, "no": true, "on": true, "off": true}

// print writes a value as JSON.
func print(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	return writeJSON(w, b.Bytes())
}

// print writes a value of this program in the form that was asked for, when it is not a table; done says that it did.
func (g *globals) print(w io.Writer, v any) (done bool, err error) {
	if g.format == asTable {
		return false, nil
	}
	var b bytes.Buffer
	if err := print(&b, v); err != nil {
		return true, err
	}
	return true, printRaw(w, g.format, b.Bytes())
}

// visible returns the rows as a terminal may show them.
func (t *table) visible() [][]string {
	rows := make([][]string, len(t.rows))
	for i, row := range t.rows {
		rows[i] = make([]string, len(row))
		for k, cell := range row {
			rows[i][k] = text.Visible(cell)
		}
	}
	return rows
}

// csv writes the table for programs: no alignment, and headings in lower case unless they are names. Unless it is to
// be raw, no cell can steer a terminal or be taken for a formula by a spreadsheet.
func (t *table) csv(w io.Writer, raw bool) error {
	out := csv.NewWriter(w)
	head := make([]string, len(t.head))
	for i, h := range t.head {
		if head[i] = h; !t.verbatim {
			head[i] = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(h, ">")), " ", "_")
		}
	}
	for _, row := range append([][]string{head}, t.rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = cell; !raw {
				cells[i] = text.Cell(text.Visible(cell))
			}
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// all reads a list to its end, or so many items of it, and the JSON that each is from when that is to be printed.
func all[T any](
	g *globals, limit int, read func(client.Page) (client.Answer[api.List[T]], error),
) (items []T, raw json.RawMessage, err error) {
	var texts []json.RawMessage
	page := client.Page{}
	for {
		page.Limit = 1000
		if limit > 0 {
			page.Limit = min(page.Limit, limit-len(items))
		}
		a, err := read(page)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, a.Value.Items...)
		if !g.quiet && g.format != asTable {
			var parts api.List[json.RawMessage]
			if err := json.Unmarshal(a.Raw, &parts); err != nil {
				return nil, nil, fmt.Errorf("read the list: %w", err)
			}
			texts = append(texts, parts.Items...)
		}
		if page.Cursor = a.Value.NextCursor; page.Cursor == "" || limit > 0 && len(items) >= limit {
			break
		}
	}
	raw = append(raw, '[')
	for i, item := range texts {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(raw, item...)
	}
	return items, append(raw, ']'), nil
}

// ago is how long a time is past, for people.
func ago(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return time.Since(*t).Round(time.Second).String()
}

// terminal reports whether a writer is one that a person looks at.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// lively reports whether lines may be drawn anew on a writer.
func lively(w io.Writer) bool { return terminal(w) && os.Getenv("TERM") != "dumb" }

// unicodeTerm reports whether more than ASCII can be shown.
func unicodeTerm() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// paint colours text for people; it does not when NO_COLOR is set or nobody looks.
type paint bool

func painted(w io.Writer) paint { return paint(lively(w) && os.Getenv("NO_COLOR") == "") }

// styled is text that a terminal may show as it is: what came from outside in it is visible, and its colours are ours.
type styled string

// plainly makes text visible.
func plainly(s string) styled { return styled(text.Visible(s)) }

func (p paint) as(code, s string) styled {
	if !p || s == "" {
		return plainly(s)
	}
	return "\x1b[" + styled(code) + "m" + plainly(s) + "\x1b[0m"
}

func (p paint) good(s string) styled  { return p.as("32", s) }
func (p paint) bad(s string) styled   { return p.as("31", s) }
func (p paint) wait(s string) styled  { return p.as("33", s) }
func (p paint) quiet(s string) styled { return p.as("2", s) }

// visibly formats a value and makes the outcome visible.
type visibly struct{ value any }

func (v visibly) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, text.Visible(fmt.Sprintf(fmt.FormatString(f, verb), v.value)))
}

// sprintf formats text for people. What is put into the format is made visible, unless it is styled.
func sprintf(format string, args ...any) string {
	safe := make([]any, len(args))
	for i, a := range args {
		if s, ok := a.(styled); ok {
			safe[i] = string(s)
		} else {
			safe[i] = visibly{a}
		}
	}
	return fmt.Sprintf(format, safe...)
}

// writef writes text for people, as sprintf makes it.
func writef(w io.Writer, format string, args ...any) error {
	_, err := io.WriteString(w, sprintf(format, args...))
	return err
}

// printf is writef where nothing can be done about an output that does not take it.
func printf(w io.Writer, format string, args ...any) { _ = writef(w, format, args...) }

// writeJSON writes JSON in which nothing can steer a terminal.
func writeJSON(w io.Writer, b []byte) error {
	_, err := w.Write(text.JSON(b))
	return err
}

// writeLines writes lines that are text already, such as a log, in which nothing but their ends can steer a terminal.
func writeLines(w io.Writer, b []byte) error {
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		text, end := strings.CutSuffix(line, "\n")
		out.WriteString(string(plainly(text)))
		if end {
			out.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// annotate adds an annotation to a command.
func annotate(c *cobra.Command, name, value string) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[name] = value
	return c
}
