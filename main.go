// Command stega keeps portfolios and daily prices, and lets returns and risk follow from them by events.
package main

import (
	"os"

	"stega/cmd"
)

func main() { os.Exit(cmd.Execute()) }
