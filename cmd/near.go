package cmd

import "strings"

// closest is the word that another one is most likely a mistyping of; empty when none is near.
func closest(word string, words []string) string {
	best, near := "", max(1, len(word)/3)+1
	for _, w := range words {
		d := distance(strings.ToLower(word), strings.ToLower(w))
		if len(word) > 1 && strings.HasPrefix(strings.ToLower(w), strings.ToLower(word)) {
			d = min(d, 1)
		}
		if d < near {
			best, near = w, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or exchange with their neighbour (optimal string
// alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
