package correlations

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/rest"
	"stega/series"
)

// The kinds of matrix.
const (
	kindCorrelation = "correlation"
	kindCovariance  = "covariance"
)

// query is the query of a matrix.
type query struct {
	window
	symbols   []string // in the order of the request; nil when it has none
	portfolio string   // id of the portfolio

	frequency series.Frequency
	kind      string
	method    string
	target    quant.ShrinkageTarget // of ledoit_wolf
	missing   quant.Missing
	benchmark float64 // of semi, a return of the frequency
	span      float64 // of exponential, in returns
	linkage   quant.LinkageMethod
	repair    string
}

// The bounds of an answer: its symbols, and its pairs times days. Methods of ranks sort the returns of each pair, so
// that their bound is lower. Either takes some seconds of one core.
const (
	maxSymbols = 1000
	maxRanked  = 50_000_000
	maxPaired  = 10_000_000_000
)

// bound returns the bound of pairs times days of the method.
func (q query) bound() float64 {
	if q.ranked() {
		return maxRanked
	}
	return maxPaired
}

// steps returns the cost of a pair over some days.
func (q query) steps(days int) float64 {
	if q.ranked() {
		return float64(days) * max(1, math.Log2(float64(days)))
	}
	return float64(days)
}

// tooLarge turns the error of a frame that is too large into a fault.
func tooLarge(err error) error {
	if !errors.Is(err, series.ErrTooLarge) {
		return err
	}
	return fault.Invalid("symbols_too_many", "the symbols have too many different days").
		WithHint("name fewer symbols, or choose a shorter window or a lower frequency")
}

// methods lists the methods of each kind, the default first.
var methods = map[string][]string{
	kindCorrelation: {"pearson", "spearman", "kendall", "semi", "exponential", "ledoit_wolf", "oas"},
	kindCovariance:  {"sample", "semi", "exponential", "ledoit_wolf", "oas"},
}

// ranked reports whether the method ranks the returns.
func (q query) ranked() bool { return q.method == "spearman" || q.method == "kendall" }

// summed reports whether the method follows from the exact sums, which are of daily returns.
func (q query) summed() bool {
	return q.frequency == series.Daily && (q.method == "pearson" || q.method == "sample")
}

// String returns the query in a canonical form, for entity tags.
func (q query) String() string {
	day := func(c byte, set bool, d int32) string {
		if !set {
			return ""
		}
		return string(c) + strconv.Itoa(int(d))
	}
	var from, to int32
	if q.from != nil {
		from = int32(*q.from)
	}
	if q.to != nil {
		to = int32(*q.to)
	}
	return fmt.Sprintf("%s %s %s %s %s %v %v %s %s %s%s", q.frequency, q.kind, q.method, q.target, q.missing,
		q.benchmark, q.span, q.linkage, q.repair,
		day('f', q.from != nil, from), day('t', q.to != nil, to))
}

// choose returns the value of a parameter that a method allows: the first of values when the request has none.
func choose[T ~string](c echo.Context, name string, values ...T) (T, error) {
	v := rest.Word[T](c, name)
	if v == "" {
		return values[0], nil
	}
	if slices.Contains(values, v) {
		return v, nil
	}
	return v, fault.Invalid("parameter_invalid", "%s=%.64s is not known", name, v).
		WithHint("%s is one of %s", name, strings.Join(textsOf(values...), ", "))
}

// unused returns a fault when a parameter is given that the method does not use.
func unused(c echo.Context, name, method string, of ...string) error {
	if c.QueryParam(name) == "" || slices.Contains(of, method) {
		return nil
	}
	return fault.Invalid("parameter_unused", "%s is not for method=%s", name, method).
		WithHint("it is for method=%s", strings.Join(of, ", "))
}

func read(c echo.Context) (q query, err error) {
	if err := q.readMethod(c); err != nil {
		return q, err
	}
	if err := q.readTarget(c); err != nil {
		return q, err
	}
	q.frequency = rest.Word[series.Frequency](c, "frequency")
	q.benchmark, q.span = rest.Arg[float64](c, "benchmark"), rest.ArgOr(c, "span", spanOf(q.method))
	q.linkage, q.repair = rest.Word[quant.LinkageMethod](c, "linkage"), rest.Arg[string](c, "repair")
	if q.target, err = choose(c, "target", targets(q.method)...); err != nil {
		return q, err
	}
	if q.missing, err = choose(c, "missing", treatments(q.method)...); err != nil {
		return q, err
	}
	w, err := rest.Windowed(c)
	q.window = window{w.From, w.To}
	return q, err
}

// readMethod reads the kind and the method, and refuses parameters of other methods.
func (q *query) readMethod(c echo.Context) (err error) {
	q.kind = rest.Arg[string](c, "kind")
	if q.method, err = choose(c, "method", methods[q.kind]...); err != nil {
		return err
	}
	for _, err := range []error{
		unused(c, "target", q.method, "ledoit_wolf"), unused(c, "benchmark", q.method, "semi"),
		unused(c, "span", q.method, "exponential"),
		unused(c, "missing", q.method, "semi", "ledoit_wolf", "oas"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func targets(method string) []quant.ShrinkageTarget {
	if method != "ledoit_wolf" {
		return []quant.ShrinkageTarget{""}
	}
	return []quant.ShrinkageTarget{quant.ConstantVariance, quant.SingleFactor, quant.ConstantCorrelation}
}

// treatments lists the treatments of missing returns that a method supports.
func treatments(method string) []quant.Missing {
	switch method {
	case "semi":
		return []quant.Missing{quant.MissingPairwise, quant.MissingComplete, quant.MissingZero}
	case "ledoit_wolf", "oas":
		return []quant.Missing{quant.MissingComplete, quant.MissingZero}
	}
	return []quant.Missing{quant.MissingPairwise}
}

func spanOf(method string) float64 {
	if method == "exponential" {
		return quant.Span180
	}
	return 0
}

// readTarget reads the symbols or the portfolio of the matrix.
func (q *query) readTarget(c echo.Context) (err error) {
	q.portfolio = rest.ArgOr(c, "portfolio", "")
	list := rest.Arg[string](c, "symbols")
	if q.portfolio != "" && list != "" {
		return fault.Invalid("symbols_twice", "symbols and portfolio exclude each other").
			WithHint("give one of them, or neither for all symbols")
	}
	if c.QueryParams().Has("symbols") {
		q.symbols, err = symbolsOf(list)
	}
	return err
}

// symbolsOf parses symbols that are separated by commas.
func symbolsOf(list string) ([]string, error) {
	var symbols []string
	seen := map[string]bool{}
	for word := range strings.SplitSeq(list, ",") {
		symbol, err := events.Symbol(word)
		if err != nil {
			return nil, fault.Invalid("symbol_invalid", "symbols=%.200s: %s", list, err).
				WithHint("symbols are separated by commas: symbols=AAPL,MA")
		}
		if seen[symbol] {
			return nil, fault.Invalid("symbol_repeated", "the symbol %s is repeated", symbol).WithHint("give it once")
		}
		seen[symbol] = true
		symbols = append(symbols, symbol)
	}
	return symbols, tooMany(len(symbols))
}

// tooMany returns a fault when an answer would have too many symbols.
func tooMany(n int) error {
	if n <= maxSymbols {
		return nil
	}
	return fault.Invalid("symbols_too_many", "an answer has at most %d symbols, and these are %d", maxSymbols, n).
		WithHint("select symbols with symbols=AAPL,MA,…, or with portfolio=ID")
}
