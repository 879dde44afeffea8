package optimize_test

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"stega/quant/optimize"
)

// Of two assets without correlation, the weights of least volatility are inverse to the variances.
func ExampleMinVolatility() {
	p, err := optimize.MinVolatility(context.Background(), optimize.Problem{
		Names:      []string{"shares", "bonds"},
		Covariance: mat.NewSymDense(2, []float64{0.04, 0, 0, 0.01}), // a year
	})
	if err != nil {
		panic(err)
	}
	fmt.Printf("shares %.0f %%, bonds %.0f %%: volatility %.1f %% a year\n", p.Weights[0]*100, p.Weights[1]*100,
		p.Volatility*100)
	// Output: shares 20 %, bonds 80 %: volatility 8.9 % a year
}
