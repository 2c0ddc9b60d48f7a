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

// TestOne: one is one file, and what only ends like one is not.
func TestOne(t *testing.T) {
	for text, want := range map[string]string{
		"snapshot x: 1 files with 1 bytes, and (1 folders)": "snapshot x: 1 file with 1 byte, and (1 folder)",
		"11 files with 21 bytes, 0.1 bytes, 0 files":        "11 files with 21 bytes, 0.1 bytes, 0 files",
		"1 filesystem": "1 filesystem",
	} {
		if got := Numbers(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
