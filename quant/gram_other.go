//go:build !amd64

package quant

func kernel() tileKernel { return portableTile }

func gather(rows []int, panel []float64, total *[2 * panelWidth]float64) {
	portableGather(rows, panel, total)
}
