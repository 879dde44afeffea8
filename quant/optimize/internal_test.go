package optimize

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/reference"
	"stega/quant"
)

// PyPortfolioOpt, tests/test_hrp.py, row C10: the variance of a cluster, from daily returns.
func TestVarianceOfACluster(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(bytes.NewReader(reference.Read(t, "stock_prices.csv"))).ReadAll()
	require.NoError(t, err)
	symbols := rows[0][1:]
	prices := make([][]float64, len(symbols))
	for _, row := range rows[1:] {
		for i, cell := range row[1:] {
			p, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				p, _ = strconv.ParseFloat("NaN", 64)
			}
			prices[i] = append(prices[i], p)
		}
	}
	for i, p := range prices {
		prices[i] = quant.Simple(p)
	}
	covariance, err := quant.Covariance(t.Context(), prices, 1)
	require.NoError(t, err)
	var cluster []int
	for _, s := range []string{"SHLD", "AMD", "BBY", "RRC", "FB", "WMT", "T", "BABA", "PFE", "UAA"} {
		cluster = append(cluster, slices.Index(symbols, s))
	}
	raw := covariance.RawSymmetric()
	assert.InEpsilon(t, 0.00012842967106653283, clusterVariance(raw.Data, raw.Stride, cluster), 1e-9)
}
