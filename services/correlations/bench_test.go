package correlations_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/internal/stegatest"
)

// market generates daily prices of symbols with one common factor.
type market struct {
	random *rand.Rand
	price  []float64
	day    civil.Date
}

func newMarket(symbols int) *market {
	m := &market{random: rand.New(rand.NewPCG(5, 7)), price: make([]float64, symbols), day: civil.Of(2014, 1, 1)}
	for i := range m.price {
		m.price[i] = 20 + 180*m.random.Float64()
	}
	return m
}

// csv returns the prices of the next days as a file with one column for each symbol.
func (m *market) csv(days int) []byte {
	var b bytes.Buffer
	b.WriteString("date")
	for i := range m.price {
		_, _ = fmt.Fprintf(&b, ",S%03d", i)
	}
	b.WriteByte('\n')
	for range days {
		for m.day++; m.day.Weekday()%6 == 0; m.day++ {
		}
		b.WriteString(m.day.String())
		factor := .0003 + .01*m.random.NormFloat64()
		for i := range m.price {
			m.price[i] *= math.Max(.5, 1+factor+.015*m.random.NormFloat64())
			_, _ = fmt.Fprintf(&b, ",%.4f", m.price[i])
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// settle imports prices and returns when their operation is settled.
func settle(b *testing.B, s *stegatest.Server, csv []byte) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.URL+"/v1/prices", bytes.NewReader(csv))
	require.NoError(b, err)
	request.Header.Set("Content-Type", "text/csv")
	request.Header.Set("Authorization", "Bearer "+s.Token)
	request.Header.Set("Prefer", "wait=60, wait-for=settled")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(b, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(b, err)
	require.NoError(b, answer.Body.Close())
	require.Equal(b, http.StatusOK, answer.StatusCode, "%s", body)
	require.Contains(b, string(body), `"settled":true`)
}

// BenchmarkADayOf500SymbolsToSettled measures a day's prices from the import through returns and correlations to
// settled.
func BenchmarkADayOf500SymbolsToSettled(b *testing.B) {
	s := stegatest.Up(b)
	m := newMarket(500)
	settle(b, s, m.csv(2520))
	for b.Loop() {
		b.StopTimer()
		day := m.csv(1)
		b.StartTimer()
		settle(b, s, day)
	}
}

// BenchmarkHistoryOf500SymbolsToSettled imports ten years: 1.26 million prices.
func BenchmarkHistoryOf500SymbolsToSettled(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := stegatest.Up(b)
		csv := newMarket(500).csv(2520)
		b.StartTimer()
		settle(b, s, csv)
		b.StopTimer()
		s.Stop()
		b.StartTimer()
	}
}

// BenchmarkRequest reads matrices of 500 symbols over ten years, over HTTP.
func BenchmarkRequest(b *testing.B) {
	s := stegatest.Up(b)
	settle(b, s, newMarket(500).csv(2520))
	symbols := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("S%03d", 4*i%500+i/125)
		}
		return "symbols=" + strings.Join(names, ",")
	}
	for _, c := range []struct{ name, query string }{
		{"100", symbols(100)}, {"100Window", symbols(100) + "&from=2018-01-01"},
		{"100Covariance", "kind=covariance&" + symbols(100)},
		{"100LedoitWolf", "kind=covariance&method=ledoit_wolf&" + symbols(100)},
		{"100Exponential", "kind=covariance&method=exponential&" + symbols(100)},
		{"100Spearman", "method=spearman&" + symbols(100)}, {"500", symbols(500)},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				answer := s.Do(http.MethodGet, "/v1/correlations?"+c.query, "")
				require.Equal(b, http.StatusOK, answer.Status)
				b.SetBytes(int64(len(answer.Body)))
			}
		})
	}
}
