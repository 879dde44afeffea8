//go:build !amd64

package quant

func kernels() map[string]tileKernel { return map[string]tileKernel{"portable": portableTile} }
