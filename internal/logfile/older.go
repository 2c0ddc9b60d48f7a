package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// History gives the last n lines of a file and of the older ones that it was rotated
// to: path.1, path.2 and so on, the latest first. It is for output that nobody rotates
// meanwhile. A rotation that was cut short has left the latest of them as a copy of how
// the file begins: that is left out. A line that a rotation has cut is two.
func History(path string, n int) ([]string, error) {
	older, err := rotated(path)
	if err != nil {
		return nil, err
	}
	lines, from, _, err := tail(path, n)
	for i := 0; err == nil && from == 0 && len(lines) < n && i < len(older); i++ {
		if i == 0 {
			var copied bool
			if copied, err = sameBeginning(path, older[0]); err != nil || copied {
				continue
			}
		}
		var before []string
		before, from, _, err = tail(older[i], n-len(lines))
		lines = slices.Concat(before, lines)
	}
	return lines, err
}

// rotated are the older files of a file, the latest first.
func rotated(path string) ([]string, error) {
	found, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the gateway's output: %w", err)
	}
	var numbers []int
	for _, f := range found {
		digits, ok := strings.CutPrefix(f.Name(), filepath.Base(path)+".")
		if n, err := strconv.Atoi(digits); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var paths []string
	for _, n := range numbers {
		paths = append(paths, path+"."+strconv.Itoa(n))
	}
	return paths, nil
}

// sameBeginning tells whether a file begins as another does, as far as can be told
// from a few kilobytes, and neither is empty.
func sameBeginning(a, b string) (bool, error) {
	var heads [2][]byte
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err == nil {
			heads[i], err = io.ReadAll(io.LimitReader(f, 16<<10))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return false, fmt.Errorf("cannot read the gateway's output: %w", err)
		}
	}
	n := min(len(heads[0]), len(heads[1]))
	return n > 0 && bytes.Equal(heads[0][:n], heads[1][:n]), nil
}
