package quant_test

import (
	"fmt"

	"stega/quant"
)

// Closing prices become returns, and returns become statistics of risk and return.
func Example() {
	returns := quant.Simple([]float64{100, 102, 99, 103})
	depth, _, trough, _ := quant.MaxDrawdown(returns)
	fmt.Printf("%.2f %% in all\n", quant.CumulativeReturn(returns)*100)
	fmt.Printf("%.2f %% volatility a year\n", quant.AnnualVolatility(returns, quant.Daily)*100)
	fmt.Printf("%.2f %% below the peak after return %d\n", -depth*100, trough)
	// Output:
	// 3.00 % in all
	// 56.99 % volatility a year
	// 2.94 % below the peak after return 1
}
