package correlations_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stega/internal/reference"
	"stega/internal/stegatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// matrix is what the service answers, as far as the tests look at it.
type matrix struct {
	PortfolioID  string `json:"portfolio_id"`
	Version      int64
	Symbols      []string
	Kind, Method string
	Shrinkage    float64
	From, To     string
	Semidefinite *bool `json:"positive_semidefinite"`
	Repaired     *struct {
		Method            string
		Distance, Largest float64
	}
	Order     []string
	Undefined []struct {
		Symbols      []string
		Code, Detail string
	}
	Matrix       [][]*float64
	Observations [][]int
}

// world is a stega with its folder.
type world struct {
	*stegatest.Server
	database string // of the service
}

func up(t *testing.T) world {
	t.Helper()
	dir := t.TempDir()
	return world{stegatest.Start(t, stegatest.Config(dir)), "sqlite://" + filepath.Join(dir, "correlations.db")}
}

// settled imports prices and waits until all that follows is there.
func (w world) settled(csv string) {
	op := w.Write(http.MethodPost, "/v1/prices", csv, "Content-Type", "text/csv", "Prefer", "wait=50, wait-for=settled")
	if op.Error != nil {
		panic(op.Error)
	}
	w.Eventually("the import settles", func() bool {
		var state struct{ Settled bool }
		w.Get("/v1/operations/"+op.ID, &state)
		return state.Settled
	})
}

func (w world) matrix(query string) (m matrix) {
	w.Get("/v1/correlations"+query, &m)
	return m
}

const columns = "GOOG AAPL FB BABA AMZN GE AMD WMT BAC GM T UAA SHLD XOM RRC BBY MA PFE JPM SBUX"

func TestFiguresOfRealPrices(t *testing.T) {
	t.Parallel()
	w := up(t)
	w.settled(string(reference.Read(t, "stock_prices.csv")))
	symbols := strings.Fields(columns)
	all := "symbols=" + strings.Join(symbols, ",")

	m := w.matrix("?kind=covariance&" + all)
	require.Equal(t, symbols, m.Symbols)
	require.Nil(t, m.Repaired)
	sum := 0.0
	for i := range symbols {
		for j := range symbols {
			sum += *m.Matrix[i][j] / 400
		}
	}
	assert.InDelta(t, 0.04498224489292057, sum, 1e-9, "A14, the variance of equal weights")

	m = w.matrix("?linkage=single&" + all)
	assert.Equal(t, []string{"SHLD", "AMD", "BBY", "RRC", "FB"}, m.Order[:5], "C11, the order of leaves")
	assert.True(t, slices.IsSorted(w.matrix("").Symbols))
}
