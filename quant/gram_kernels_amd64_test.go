package quant

import "golang.org/x/sys/cpu"

func kernels() map[string]tileKernel {
	all := map[string]tileKernel{"portable": portableTile}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		all["AVX2"] = tileAVX2
	}
	if cpu.X86.HasAVX512F {
		all["AVX512"] = tileAVX512
	}
	return all
}
