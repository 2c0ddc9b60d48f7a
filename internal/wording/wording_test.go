package wording

import "testing"

// TestSpoken: numbers are those of people; a command in back-quotes stays as it is. The
// pages' tests (package ui) have the forms of numbers.
func TestSpoken(t *testing.T) {
	for in, want := range map[string]string{
		"20480 bytes after 9.213456s: see `creel logs -n 20480 bytes`": "20.0 KiB after 9.2 s: see `creel logs -n 20480 bytes`",
		"one ` alone for 8.1234ms":                                     "one ` alone for 8.1 ms",
		"":                                                             "",
	} {
		if got := Spoken(in, "`"); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
