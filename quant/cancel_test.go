package quant_test

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/quant"
)

// countdown ends after a number of looks at its error, and keeps counting.
type countdown struct {
	context.Context
	left   int64
	looked atomic.Int64
}

func (c *countdown) Err() error {
	if c.looked.Add(1) > c.left {
		return context.Canceled
	}
	return nil
}

// An estimator checks its context between parts of its work, and starts no part after it has ended.
func TestEstimatorsStopWithTheirContext(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 9))
	returns := make([][]float64, 60)
	for i := range returns {
		returns[i] = make([]float64, 1500)
		for j := range returns[i] {
			returns[i][j] = r.NormFloat64() * .01
		}
		returns[i][i] = math.NaN() // each misses a different day
	}
	whole := make([][]float64, len(returns))
	for i, s := range returns {
		whole[i] = s[len(returns):]
	}
	estimators := map[string]func(ctx context.Context) error{
		"pearson": func(ctx context.Context) error { _, err := quant.Correlation(ctx, returns); return err },
		"covariance": func(ctx context.Context) error {
			_, err := quant.Covariance(ctx, returns, 252)
			return err
		},
		"spearman with gaps": func(ctx context.Context) error {
			_, err := quant.CorrelationBy(ctx, returns, quant.SpearmanCorrelation)
			return err
		},
		"spearman": func(ctx context.Context) error {
			_, err := quant.CorrelationBy(ctx, whole, quant.SpearmanCorrelation)
			return err
		},
		"kendall": func(ctx context.Context) error {
			_, err := quant.CorrelationBy(ctx, returns, quant.KendallCorrelation)
			return err
		},
		"semicovariance": func(ctx context.Context) error {
			_, err := quant.Semicovariance(ctx, returns, 0, quant.MissingPairwise, 252)
			return err
		},
		"semicorrelation": func(ctx context.Context) error {
			_, err := quant.Semicorrelation(ctx, returns, 0, quant.MissingZero)
			return err
		},
		"exponential covariance": func(ctx context.Context) error {
			_, err := quant.ExponentialCovariance(ctx, returns, nil, 180, 252)
			return err
		},
		"exponential correlation": func(ctx context.Context) error {
			_, err := quant.ExponentialCorrelation(ctx, returns, nil, 180)
			return err
		},
		"ledoit-wolf": func(ctx context.Context) error {
			_, err := quant.LedoitWolf(ctx, whole, quant.ConstantCorrelation, quant.MissingComplete, 252)
			return err
		},
		"oas": func(ctx context.Context) error {
			_, err := quant.OAS(ctx, whole, quant.MissingComplete, 252)
			return err
		},
	}
	for name, estimate := range estimators {
		whole := &countdown{Context: t.Context(), left: math.MaxInt64}
		require.NoError(t, estimate(whole), name)
		looks := whole.looked.Load()
		require.Greater(t, looks, int64(8), "%s checks its context regularly", name)
		for _, share := range []int64{0, looks / 4, looks / 2, looks * 3 / 4} {
			c := &countdown{Context: t.Context(), left: share}
			require.ErrorIs(t, estimate(c), context.Canceled, name)
			// Each worker and its callers check once more.
			more := int64(2*runtime.GOMAXPROCS(0) + 4)
			assert.LessOrEqual(t, c.looked.Load(), share+more, "%s, ended at %d of %d", name, share, looks)
		}
	}
}
