package config

import (
	"strings"
	"testing"
	"time"
)

func TestParseText(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		text string
		want any    // nil: refused
		hint string // part of the refusal
	}{
		{KindInteger, "8080", int64(8080), ""},
		{KindInteger, "-1", int64(-1), ""},
		{KindInteger, "1_000", nil, "whole number"},
		{KindInteger, " 1", nil, "whole number"},
		{KindInteger, "9223372036854775808", nil, "too large"},
		{KindBytes, "0", int64(0), ""},
		{KindBytes, "65536", int64(65536), ""},
		{KindBytes, "64KiB", int64(65536), ""},
		{KindBytes, "64 KiB", int64(65536), ""},
		{KindBytes, "2TiB", int64(2 << 40), ""},
		{KindBytes, "64k", nil, `"64KiB"`},
		{KindBytes, "1gb", nil, `"1GiB"`},
		{KindBytes, "1XB", nil, "KiB, MiB"},
		{KindBytes, "-1", nil, "number of bytes"},
		{KindBytes, "8388608TiB", nil, "too large"},
		{KindBytes, "99999999999999999999", nil, "too large"},
		{KindDuration, "1m30s", 90 * time.Second, ""},
		{KindDuration, "0", time.Duration(0), ""},
		{KindDuration, "10", nil, `write "10s"`},
		{KindDuration, "1.5", nil, `write "1.5s"`},
		{KindDuration, "2d", nil, `write "48h"`},
		{KindDuration, "-1s", nil, "negative"},
		{KindDuration, "", nil, "must be a duration"},
		{KindDuration, "999999999h", nil, "must be a duration"},
		{KindText, "", "", ""},
	} {
		got, err := parseText(tt.kind, tt.text)
		switch {
		case tt.want == nil && (err == nil || !strings.Contains(err.Error(), tt.hint)):
			t.Errorf("%s %q: got %v, %v; want an error with %q", tt.kind, tt.text, got, err, tt.hint)
		case tt.want != nil && (err != nil || got != tt.want):
			t.Errorf("%s %q: got %#v, %v; want %#v", tt.kind, tt.text, got, err, tt.want)
		}
	}
}

// TestFormatText: what is shown is short, and read again it is the same.
func TestFormatText(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "10s": 10 * time.Second, "2m": 2 * time.Minute, "1m30s": 90 * time.Second,
		"1h": time.Hour, "1h0m1s": time.Hour + time.Second, "24h": 24 * time.Hour, "1h30m": 90 * time.Minute,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
		if back, err := parseDuration(want); err != nil || back != d {
			t.Errorf("%s: read as %d, %v", want, back, err)
		}
	}
	for want, n := range map[string]int64{"0": 0, "1": 1, "1023": 1023, "1KiB": 1024, "1025": 1025, "64MiB": 64 << 20, "3TiB": 3 << 40} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
		if back, err := parseBytes(want); err != nil || back != n {
			t.Errorf("%s: read as %d, %v", want, back, err)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"listen", "listen", 0}, {"listem", "listen", 1}, {"lisetn", "listen", 1}, {"lsten", "listen", 1}, {"kitten", "sitting", 3},
	} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
