package plot_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/internal/plot"
)

func drawn(t *testing.T, o plot.Options, series ...plot.Series) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, plot.Lines(&b, o, series...))
	return b.String()
}

// days returns n days from the first of a year.
func days(year, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(civil.Of(year, 1, 1).AddDays(i))
	}
	return out
}

func TestALineOnATerminal(t *testing.T) {
	t.Parallel()
	got := drawn(t, plot.Options{Title: "up and down", Width: 30, Height: 10, ASCII: true, YPercent: true},
		plot.Series{X: []float64{0, 10, 20}, Y: []float64{0, 0.1, -0.1}})
	assert.Equal(t, `up and down
 10 %+          ***
     |      ****   **
     |  ****         **
  0 %+**...............**.....
     |                   **
     |                     **
-10 %+                       *
     ++-----------+----------+
      0          10         20
`, got)
}

// Braille dots are on the line: a rising line has no dots above and below its diagonal.
func TestBrailleDotsLieOnTheLine(t *testing.T) {
	t.Parallel()
	got := drawn(t, plot.Options{Width: 46, Height: 12}, plot.Series{X: []float64{0, 1}, Y: []float64{0, 1}})
	rows := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	last := -1
	for i := len(rows) - 3; i >= 0; i-- { // below are the axis and its ticks
		_, body, ok := strings.Cut(strings.NewReplacer("┤", "│").Replace(rows[i]), "│")
		require.True(t, ok, rows[i])
		first := strings.IndexFunc(body, func(r rune) bool { return r > 0x2800 && r <= 0x28ff })
		require.GreaterOrEqual(t, first, 0, "row %d is empty", i)
		first = utf8.RuneCountInString(body[:first])
		assert.Greater(t, first, last)
		last = first
	}
	assert.Contains(t, rows[0], "1.0┤")
}

func TestGapsAreNotJoined(t *testing.T) {
	t.Parallel()
	s := plot.Series{X: []float64{0, 1, 2, 3, 4}, Y: []float64{1, 1, math.NaN(), 2, 2}}
	got := drawn(t, plot.Options{SVG: true}, s)
	assert.Equal(t, 2, strings.Count(got, "<polyline"))
	assert.NotContains(t, got, "NaN")
	assert.Equal(t, 1,
		strings.Count(drawn(t, plot.Options{SVG: true}, plot.Series{X: s.X, Y: []float64{1, 1, 3, 2, 2}}),
			"<polyline"))
}

func TestSeriesAreToldApart(t *testing.T) {
	t.Parallel()
	a := plot.Series{Name: "A", X: []float64{0, 1}, Y: []float64{0, 1}}
	b := plot.Series{Name: "B", X: []float64{0, 1}, Y: []float64{1, 0}}
	plain := drawn(t, plot.Options{}, a, b)
	assert.Contains(t, plain, "● A   ○ B")
	assert.NotContains(t, plain, "\x1b")
	coloured := drawn(t, plot.Options{Color: true}, a, b)
	assert.Contains(t, coloured, "\x1b[36m━\x1b[0m A   \x1b[33m━\x1b[0m B")
	picture := drawn(t, plot.Options{SVG: true}, a, b)
	assert.Contains(t, picture, `stroke="#0072B2"`)
	assert.Contains(t, picture, `stroke="#E69F00"`)
	ascii := drawn(t, plot.Options{ASCII: true}, a, b)
	assert.Contains(t, ascii, "* A   o B")
	for _, r := range ascii {
		require.Less(t, r, rune(128))
	}
}

func TestDaysAreDividedByTheCalendar(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]string{
		3: {"2024-01-01", "2024-01-02"}, 60: {"2024-01-15", "2024-02-12"}, 366: {"2024-03", "2024-09"},
		3660: {"2026", "2032"}, 366000: {"2200", "3000"},
	} {
		got := drawn(t, plot.Options{XDays: true}, plot.Series{X: days(2024, n), Y: make([]float64, n)})
		for _, text := range want {
			assert.Contains(t, got, text, n)
		}
	}
}

// svgOf returns the texts of an SVG, which must be well-formed.
func svgOf(t *testing.T, text string) (texts []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		require.NoError(t, err, text)
		if c, ok := token.(xml.CharData); ok && strings.TrimSpace(string(c)) != "" {
			texts = append(texts, string(c))
		}
	}
}

func TestNamesCannotBreakOut(t *testing.T) {
	t.Parallel()
	evil := "a<b>&\"\x1b[31m\n\x00c"
	o := plot.Options{Title: evil, XLabel: evil, YLabel: evil}
	s := plot.Series{Name: evil, X: []float64{1}, Y: []float64{1}, Labels: []string{evil}}
	assert.NotContains(t, drawn(t, o, s, s), "\x1b")
	o.SVG = true
	assert.Contains(t, svgOf(t, drawn(t, o, s, s)), `a<b>&"[31mc`)
	var b strings.Builder
	require.NoError(t, plot.Heat(&b, o, []string{evil}, [][]float64{{1}}, 0, 1))
	assert.Contains(t, svgOf(t, b.String()), `a<b>&"[31mc`)
}

func TestPointsAndTheLineAmongThem(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	require.NoError(t, plot.Points(&b, plot.Options{SVG: true, XLabel: "volatility", XPercent: true, YPercent: true},
		plot.Series{Name: "frontier", Line: true, X: []float64{0.1, 0.2, 0.3}, Y: []float64{0.05, 0.1, 0.12}},
		plot.Series{Name: "assets", X: []float64{0.2, 0.35}, Y: []float64{0.06, 0.1}, Labels: []string{"AAPL", "MA"}}))
	texts := svgOf(t, b.String())
	assert.Equal(t, 1, strings.Count(b.String(), "<polyline"))
	assert.Equal(t, 2, strings.Count(b.String(), "<circle"))
	for _, text := range []string{"AAPL", "MA", "frontier", "volatility", "10 %"} {
		assert.Contains(t, texts, text)
	}
}

func TestHeat(t *testing.T) {
	t.Parallel()
	heat := func(o plot.Options, n int) string {
		labels, values := make([]string, n), make([][]float64, n)
		for i := range labels {
			labels[i] = string(rune('A'+i%26)) + string(rune('A'+i/26))
			values[i] = make([]float64, n)
			for j := range values[i] {
				values[i][j] = math.Cos(float64(i - j))
			}
		}
		values[0][n-1] = math.NaN()
		var b strings.Builder
		require.NoError(t, plot.Heat(&b, o, labels, values, -1, 1))
		return b.String()
	}
	assert.Equal(t, "      AA    BA\nAA  1.00     -\nBA  0.54  1.00\n", heat(plot.Options{}, 2))
	assert.Contains(t, heat(plot.Options{Color: true}, 2), "\x1b[38;5;231;48;5;124m  1.00\x1b[0m", "one is red")
	assert.Contains(t, heat(plot.Options{Color: true, Width: 60}, 30), "\x1b[38;5;231;48;5;124m \x1b[0m",
		"and so without its number")
	for _, n := range []int{2, 20, 30, 60, 200} {
		for _, line := range strings.Split(heat(plot.Options{Width: 60}, n), "\n") {
			assert.LessOrEqual(t, utf8.RuneCountInString(line), 60, "%d: %s", n, line)
		}
		assert.Equal(t, n*n, strings.Count(heat(plot.Options{SVG: true}, n), "<title>"))
		svgOf(t, heat(plot.Options{SVG: true, Title: "x"}, n))
	}
	assert.Contains(t, heat(plot.Options{Width: 60}, 200), "each cell is the mean of 4 by 4")
	assert.Contains(t, heat(plot.Options{Width: 60}, 30), "-1.00   ▒▒ 0.00   ██ 1.00", "what shades mean")
	assert.Contains(t, heat(plot.Options{Width: 60, ASCII: true}, 30), "-1.00   ++ 0.00   @@ 1.00")
}

func TestWhatCannotBeDrawn(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for name, c := range map[string]struct {
		err    error
		o      plot.Options
		series []plot.Series
	}{
		"no series": {plot.ErrNothing, plot.Options{}, nil},
		"no points": {plot.ErrNothing, plot.Options{}, []plot.Series{{}}},
		"no finite points": {plot.ErrNothing, plot.Options{},
			[]plot.Series{{X: []float64{nan, 1, 2}, Y: []float64{1, nan, math.Inf(1)}}}},
		"lengths": {plot.ErrShape, plot.Options{}, []plot.Series{{X: []float64{1}, Y: []float64{1, 2}}}},
		"labels": {plot.ErrShape, plot.Options{},
			[]plot.Series{{X: []float64{1}, Y: []float64{1}, Labels: []string{"a", "b"}}}},
		"no day": {plot.ErrShape, plot.Options{XDays: true}, []plot.Series{{X: []float64{1e12}, Y: []float64{1}}}},
	} {
		require.ErrorIs(t, plot.Lines(io.Discard, c.o, c.series...), c.err, name)
	}
	require.ErrorIs(t, plot.Heat(io.Discard, plot.Options{}, nil, nil, 0, 1), plot.ErrNothing)
	require.ErrorIs(t, plot.Heat(io.Discard, plot.Options{}, []string{"a"}, [][]float64{{1, 2}}, 0, 1), plot.ErrShape)
	require.ErrorIs(t, plot.Heat(io.Discard, plot.Options{}, []string{"a"}, [][]float64{{1}}, 1, 1), plot.ErrShape)
	require.ErrorIs(t, plot.Heat(io.Discard, plot.Options{}, []string{"a"}, nil, 0, 1), plot.ErrShape)
}

// Any numbers in any size are drawn within the size.
func TestAnyNumbersAreDrawnWithinTheSize(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		n := 1 + rng.IntN(20)
		s := plot.Series{X: make([]float64, n), Y: make([]float64, n)}
		scale := math.Pow(10, float64(rng.IntN(620)-310))
		offset := math.Pow(10, float64(rng.IntN(40)-20))
		for i := range n {
			s.X[i], s.Y[i] = rng.NormFloat64()*scale+offset, rng.NormFloat64()*scale-offset
			if rng.IntN(20) == 0 {
				s.Y[i] = []float64{math.NaN(), math.Inf(1), math.MaxFloat64, 0}[rng.IntN(4)]
			}
		}
		o := plot.Options{
			Width:    rng.IntN(200),
			Height:   rng.IntN(60),
			ASCII:    rng.IntN(2) == 0,
			YPercent: rng.IntN(2) == 0,
		}
		var b strings.Builder
		if err := plot.Lines(&b, o, s); err != nil {
			require.ErrorIs(t, err, plot.ErrNothing)
			continue
		}
		width := max(o.Width, 40)
		if o.Width == 0 {
			width = 80
		}
		for _, line := range strings.Split(b.String(), "\n") {
			require.LessOrEqual(t, utf8.RuneCountInString(line), width, b.String())
		}
		o.SVG = true
		b.Reset()
		require.NoError(t, plot.Lines(&b, o, s))
		require.NotContains(t, b.String(), "NaN")
		svgOf(t, b.String())
	}
}
