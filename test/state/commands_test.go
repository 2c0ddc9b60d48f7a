package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"testing"
)

// TestCommands: exit codes, what is said where, and JSON where it is asked for.
func TestCommands(t *testing.T) {
	t.Parallel()
	h := start(t, "snapshots: {mode: manual}\n")
	first := string(h.take().ID)
	second := string(h.take().ID)
	dir := t.TempDir()
	for _, c := range []struct {
		args     []string
		code     int
		out, err string // patterns; empty: nothing is said there
	}{
		{[]string{"create", "--note", "a note"}, 0, `^\d{8}T\d{6}Z-[0-9a-f]{4}\n$`, `files with .* added to the store; held still for `},
		{[]string{"create", "too", "much"}, 2, ``, `unknown command|accepts`},
		{[]string{"list"}, 0, first + `(.|\n)*` + second, `.*`},
		{[]string{"show", "latest"}, 0, `a note`, ``},
		{[]string{"show", first}, 0, first, ``},
		{[]string{"show", "nothing"}, 1, ``, `no such snapshot: nothing; see .creel snapshot list`},
		{[]string{"show"}, 2, ``, `arg`},
		{[]string{"status"}, 0, `last snapshot(.|\n)*store`, ``},
		{[]string{"diff", first, second}, 0, `state\.json`, ``},
		{[]string{"ls", first}, 0, `state\.json`, ``},
		{[]string{"cat", first, "state.json"}, 0, `"n":`, ``},
		{[]string{"cat", first, "nothing"}, 1, ``, `snapshot .* has no file nothing .*creel snapshot ls`},
		{[]string{"export", first, filepath.Join(dir, "x")}, 0, `files with`, ``},
		{[]string{"export", first, filepath.Join(dir, "x")}, 1, ``, `not empty`},
		{[]string{"verify", first}, 0, `is whole`, ``},
		{[]string{"pin", first}, 0, `pinned`, ``},
		{[]string{"remove", first}, 1, ``, `is pinned; .creel snapshot unpin`},
		{[]string{"unpin", first}, 0, `no longer pinned`, ``},
		{[]string{"accept", first}, 0, `accepted`, ``},
		{[]string{"prune", "--dry-run"}, 0, second, `would be removed`},
		{[]string{"restore", "--fresh", first}, 2, ``, `leave .* out`},
		{[]string{"restore", "nothing"}, 1, ``, `no such snapshot`},
		{[]string{"restore", first}, 0, `ready on the state of ` + first, `the state that was there is snapshot`},
		{[]string{"remove", second}, 0, `removed`, ``},
		{[]string{"prune"}, 0, first, `removed`},
	} {
		args := append([]string{"snapshot"}, c.args...)
		r := h.creel(args...)
		if r.Code != c.code || !said(c.out, r.Out) || !said(c.err, r.Err) {
			t.Errorf("creel %q: code %d, want %d; it says\n%s\nand complains\n%s", args, r.Code, c.code, r.Out, r.Err)
		}
	}
	for _, args := range [][]string{
		{"create"}, {"list"}, {"show", first}, {"status"}, {"diff", first, "latest"}, {"ls", first}, {"verify", first}, {"prune", "--dry-run"},
		{"export", first, filepath.Join(dir, "y")}, {"pin", first}, {"unpin", first}, {"accept", first}, {"restore", first},
	} {
		r := h.creel(append(append([]string{"snapshot"}, args...), "--json")...)
		if d := json.NewDecoder(bytes.NewBufferString(r.Out)); r.Code != 0 || !values(d) {
			t.Errorf("%q: code %d; %s%s", args, r.Code, r.Out, r.Err)
		}
	}
	h.Stop()
	if r := h.creel("snapshot", "list"); r.Code != 3 || r.Err == "" {
		t.Errorf("without a creel: %+v", r)
	}
}

func said(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	return regexp.MustCompile(pattern).MatchString(text)
}

// values tells whether there is at least one JSON value, and nothing else.
func values(d *json.Decoder) bool {
	for n := 0; ; n++ {
		var v any
		if err := d.Decode(&v); err != nil {
			return errors.Is(err, io.EOF) && n > 0
		}
	}
}
