// Package compare has the benchmarks that measure stega beside other libraries. It is a module of its own, so that
// stega does not depend on them.
package compare
