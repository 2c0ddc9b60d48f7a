package config

import (
	"fmt"
	"strings"
)

// suggestKey says what an unknown key of a section may have been meant to be, as
// the end of a sentence, and which key that is if there is one alone. It looks
// for a similar name in the same section, then for the same name elsewhere.
func suggestKey(prefix, name string, siblings []*Key) (hint, meant string) {
	names := make([]string, len(siblings))
	for i, k := range siblings {
		names[i] = k.name
	}
	normal := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if best := nearest(normal, names); best != "" {
		return fmt.Sprintf("; did you mean %q?", best), prefix + best
	}
	var elsewhere []string
	for _, k := range Keys() {
		if k.name == normal && !strings.Contains(k.Path, "[") {
			elsewhere = append(elsewhere, k.Path)
		}
	}
	switch len(elsewhere) {
	case 0:
		return fmt.Sprintf("; the keys here are %s", strings.Join(names, ", ")), ""
	case 1:
		return fmt.Sprintf("; did you mean %s?", elsewhere[0]), elsewhere[0]
	}
	return fmt.Sprintf("; did you mean %s?", strings.Join(elsewhere, " or ")), ""
}

// nearest is the candidate that is most like name, or "" if none is like it:
// at most one edit for each three characters, and three in all.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", min(3, max(1, len(name)/3))+1
	for _, c := range candidates {
		// The length alone rules out most, and all that are absurdly long.
		if d := len(c) - len(name); d > 3 || d < -3 {
			continue
		}
		if d := editDistance(name, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance is the number of bytes to insert, to delete, to replace or to
// swap with their neighbour to make b of a (optimal string alignment).
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
