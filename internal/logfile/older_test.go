package logfile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHistory: lines go on in older files, in their order, each once.
func TestHistory(t *testing.T) {
	many := strings.Repeat("many\n", 2*perLine)
	for _, test := range []struct {
		name  string
		files map[string]string // by what is behind the name
		n     int
		want  []string
	}{
		{"none", nil, 5, nil},
		{"the file has enough", map[string]string{"": "c\nd\n", ".1": "a\nb\n"}, 2, []string{"c", "d"}},
		{"some of the one before", map[string]string{"": "c\nd\n", ".1": "a\nb\n"}, 3, []string{"b", "c", "d"}},
		{"all there are", map[string]string{"": "4\n", ".1": "3\n", ".2": "2\n", ".10": "1\n"}, 9, []string{"1", "2", "3", "4"}},
		{"emptied a moment ago", map[string]string{"": "", ".1": "a\nb\n"}, 9, []string{"a", "b"}},
		{"a gap, as of a death while they were renamed", map[string]string{"": "c\n", ".2": "a\n"}, 9, []string{"a", "c"}},
		{"the file is gone", map[string]string{".1": "a\n"}, 9, []string{"a"}},
		{"copied, and not emptied", map[string]string{"": "b\nc\nd\n", ".1": "b\nc\n", ".2": "a\n"}, 9, []string{"a", "b", "c", "d"}},
		{"what is no older file", map[string]string{"": "b\n", ".tmp": "x\n", ".0": "x\n", ".1.gz": "x\n", "1": "x\n"}, 9, []string{"b"}},
		{"only the end is read of what is long", map[string]string{"": many, ".1": "a\n"}, 3, []string{"many", "many", "many"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			for behind, content := range test.files {
				if err := os.WriteFile(path+behind, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := History(path, test.n); err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
	if got, err := History(filepath.Join(t.TempDir(), "none", "log"), 5); got != nil || err != nil {
		t.Errorf("without a folder: %q, %v", got, err)
	}
	if _, err := History(t.TempDir(), 5); err == nil {
		t.Error("a folder was read")
	}
}
