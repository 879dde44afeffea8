package correlations

import (
	"encoding/json"
	"math"
	"strconv"

	"gonum.org/v1/gonum/mat"

	"stega/api"
)

// encode encodes an answer. It encodes the matrices by hand, because encoding/json takes ten times as long.
func encode(a api.Correlations, e estimate) ([]byte, error) {
	head, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	observations, matrix := counts(len(a.Symbols), e.observations), numbers(e.matrix)
	b := make([]byte, 0, len(head)+len(observations)+len(matrix)+64)
	b = append(b, head[:len(head)-1]...)
	b = append(b, `,"observations":`...)
	b = append(b, observations...)
	b = append(b, `,"matrix":`...)
	b = append(b, matrix...)
	return append(b, "}\n"...), nil
}

// cells is a symmetric matrix as JSON.
type cells []byte

// numbers encodes a matrix. It encodes each pair once and copies it to the transposed cell.
func numbers(m *mat.SymDense) cells {
	return square(m.SymmetricDim(), 22, func(b []byte, i, j int) []byte {
		v := m.At(i, j)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(b, "null"...)
		}
		return appendNumber(b, v)
	})
}

// appendNumber encodes a float as encoding/json does.
func appendNumber(b []byte, v float64) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}

// counts encodes the numbers of returns of n by n cells.
func counts(n int, of func(i, j int) int) cells {
	return square(n, 6, func(b []byte, i, j int) []byte { return strconv.AppendInt(b, int64(of(i, j)), 10) })
}

// square returns n rows of n cells. cell encodes those on and above the diagonal, of about the given number of bytes.
func square(n, bytes int, cell func(b []byte, i, j int) []byte) cells {
	b := make([]byte, 0, n*n*bytes+2*n+2)
	type span struct{ from, to int }
	written := make([]span, n*n)
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j := range n {
			if j > 0 {
				b = append(b, ',')
			}
			if j < i {
				transposed := written[j*n+i]
				b = append(b, b[transposed.from:transposed.to]...)
				continue
			}
			from := len(b)
			b = cell(b, i, j)
			written[i*n+j] = span{from, len(b)}
		}
		b = append(b, ']')
	}
	return append(b, ']')
}
