package quant

import "golang.org/x/sys/cpu"

// kernel returns the widest kernel of this processor.
func kernel() tileKernel {
	switch {
	case cpu.X86.HasAVX512F:
		return tileAVX512
	case hasAVX2():
		return tileAVX2
	}
	return portableTile
}

func hasAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

// gather sums the values and the squares of 8 series over some rows of their panel, given by their offsets.
func gather(rows []int, panel []float64, total *[2 * panelWidth]float64) {
	if !hasAVX2() || len(rows) == 0 {
		portableGather(rows, panel, total)
		return
	}
	_ = panel[rows[len(rows)-1]+panelWidth-1] // rows ascend
	gatherAVX2(len(rows), &rows[0], &panel[0], total)
}

func tileAVX512(days int, a, b, c []float64, stride int) {
	if days <= 0 {
		return
	}
	_, _, _ = a[2*blockDays*panelWidth+days*panelWidth-1], b[days*panelWidth-1], c[(panelWidth-1)*stride+groupWidth-1]
	kernelAVX512(days, &a[0], &b[0], &c[0], stride*8)
}

func tileAVX2(days int, a, b, c []float64, stride int) {
	if days <= 0 {
		return
	}
	_, _, _ = a[2*blockDays*panelWidth+days*panelWidth-1], b[days*panelWidth-1], c[(panelWidth-1)*stride+groupWidth-1]
	const panel = blockDays * panelWidth
	for j := 0; j < panelWidth; j += 4 {
		kernelAVX2(days, &a[0], &a[4], &a[panel], &b[j], &c[j*stride], stride*8)
		kernelAVX2(days, &a[panel+4], &a[2*panel], &a[2*panel+4], &b[j], &c[j*stride+12], stride*8)
	}
}

// kernelAVX512 adds 24×8 sums of products over days to c, whose 8 rows are stride bytes apart. The three panels of a
// are blockDays apart.
//
//go:noescape
func kernelAVX512(days int, a, b, c *float64, stride int)

// kernelAVX2 adds 12×4 sums of products: of four series each at a0, a1 and a2, with the four at b, all parts of
// panels.
//
//go:noescape
func kernelAVX2(days int, a0, a1, a2, b, c *float64, stride int)

//go:noescape
func gatherAVX2(n int, rows *int, panel *float64, total *[2 * panelWidth]float64)
