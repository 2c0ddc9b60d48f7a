package ui

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"creel/internal/event"
	"creel/internal/snapshot/store"
)

// TestProse: what is written for a terminal becomes fit for a page, and never markup.
func TestProse(t *testing.T) {
	local := time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC).Local().Format("2 Jan 2006, 15:04:05")
	for in, want := range map[string]string{
		"":                                    "",
		"1604 files with 1692703 bytes":       "1604 files with 1.6 MiB",
		"9241 added to the store":             "9.0 KiB added to the store",
		"7 added to the store":                "7 B added to the store",
		"48213 added to the store":            "47.1 KiB added to the store",
		"a password has 8 to 1024 bytes":      "a password has 8 to 1024 bytes",
		"it has 12 bytes":                     "it has 12 bytes",
		"the one before had 12 with 4096":     "the one before had 12 files with 4.0 KiB",
		"held still for 8.123456ms":           "held still for 8.1 ms",
		"ready after 9.213s":                  "ready after 9.2 s",
		"it took 2m3.456789s, and ended":      "it took 2 min 3 s, and ended",
		"longer than the 250ms allowed":       "longer than the 250 ms allowed",
		"after 1m0s: (took 87µs)":             "after 1 min: (took less than 1 ms)",
		"stable for 1h0m0s":                   "stable for 1 h",
		"at 2026-11-26T05:00:00Z it did":      "at " + local + " it did",
		"version v2.3s and 4s4 stay":          "version v2.3s and 4s4 stay",
		"see `creel events -n 1000000 bytes`": "see <code>creel events -n 1000000 bytes</code>", // a command stays as it is
		"one ` alone":                         "one ` alone",
		"`a` and `b`":                         "<code>a</code> and <code>b</code>",
		"<b>bold</b> `<i>`":                   "&lt;b&gt;bold&lt;/b&gt; <code>&lt;i&gt;</code>",
		"`a` and `b":                          "<code>a</code> and `b",
	} {
		if got := string(prose(in)); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if got := spoken("see `creel <x>`: 20480 bytes"); got != "see creel <x>: 20.0 KiB" {
		t.Errorf("%q", got)
	}
}

// TestEntries: what else an event knows is told in words, and a snapshot by a link.
func TestEntries(t *testing.T) {
	e := entryOf(event.Event{Kind: event.SnapshotTaken, Message: "snapshot 20261126T050000Z-7f3a: 1604 files with 59768832 bytes, 48213 added to the store; held still for 8.1ms",
		Fields: map[string]any{"snapshot": store.ID("20261126T050000Z-7f3a"), "reason": store.OnChange, "seconds": 2.18342}})
	if e.Snapshot != "20261126T050000Z-7f3a" || strings.Contains(e.Message, "7f3a") || string(prose(e.Message)) != "1604 files with 57.0 MiB, 47.1 KiB added to the store; held still for 8.1 ms" {
		t.Errorf("%+v", e)
	}
	if got := e.Beside; got != "Why: the state had changed · it took 2.2 s" || e.More != nil {
		t.Error(got)
	}
	e = entryOf(event.Event{Kind: event.OpenClawConfigChanged, Fields: map[string]any{
		"changes": []any{map[string]any{"key": "a.b", "before": "1", "after": "2"}, map[string]any{"key": "c", "after": `"x"`}},
		"scopes":  []string{"read", "use"}, "ok": true, "pid": 4711, "silent_seconds": json.Number("31.5"), "none": nil, "processes": []any{map[string]any{"pid": 7.0, "command": "sleep"}},
	}})
	if got := strings.Join(e.More, "; "); got != `changes: a.b: 1 → 2, c: none → "x"; none: none; ok: yes; process 4711; processes: command sleep, pid 7; scopes: read, use; silent for 32 s` {
		t.Error(got)
	}
	e = entryOf(event.Event{Kind: event.Restored, Message: "the state of snapshot 20261126T050000Z-7f3a is in place", Fields: map[string]any{"snapshot": "20261126T050000Z-7f3a"}})
	if e.Message != "The state of the snapshot is in place" || e.Snapshot == "" {
		t.Errorf("%+v", e)
	}
	e = entryOf(event.Event{Kind: event.Login, Message: "owner has signed in (link)", Fields: map[string]any{
		"session": "abc", "method": "link", "address": "10.8.0.2", "agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
	}})
	if e.Beside != "From 10.8.0.2 · Firefox 145 on Linux" {
		t.Error(e.Beside)
	}
}
