package quant_test

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/internal/reference"
	"stega/quant"
)

// A table is a file of the reference data: a column of days, and named columns of numbers, NaN where a cell is empty.
type table struct {
	names  []string
	days   []time.Time
	values [][]float64 // [column][row]
}

// referenceTable reads a file of the reference data.
func referenceTable(t testing.TB, file string) table {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(reference.Read(t, file))).ReadAll()
	require.NoError(t, err)
	out := table{names: rows[0][1:], values: make([][]float64, len(rows[0])-1)}
	for _, row := range rows[1:] {
		day, err := time.Parse(time.DateOnly, row[0])
		if strings.Contains(row[0], "/") {
			day, err = time.Parse("1/2/2006", row[0])
		}
		require.NoError(t, err)
		out.days = append(out.days, day)
		for c, cell := range row[1:] {
			v := nan
			if cell != "" {
				v, err = strconv.ParseFloat(cell, 64)
				require.NoError(t, err)
			}
			out.values[c] = append(out.values[c], v)
		}
	}
	return out
}

func (t table) column(name string) []float64 {
	for c, n := range t.names {
		if n == name {
			return t.values[c]
		}
	}
	return nil
}

// d20 returns the returns of twenty stocks from 1990 to 2018 (PyPortfolioOpt tests/resources/stock_prices.csv).
func d20(t testing.TB) (names []string, returns [][]float64) {
	prices := referenceTable(t, "stock_prices.csv")
	for _, p := range prices.values {
		returns = append(returns, quant.Simple(p))
	}
	return prices.names, returns
}
