package logline

import (
	"testing"
	"time"
)

func TestTimeOf(t *testing.T) {
	want := time.Date(2026, 11, 26, 5, 0, 1, 0, time.UTC)
	for line, has := range map[string]bool{
		"2026-11-26T05:00:01Z [gateway] info: it runs":             true,
		"2026-11-26 05:00:01Z it runs":                             true,
		"[2026-11-26T06:00:01+01:00] it runs":                      true,
		"2026-11-26T06:00:01+0100 it runs":                         true,
		`{"level":"info","time":"2026-11-26T05:00:01Z","msg":"x"}`: true,
		`{"ts": "2026-11-26T05:00:01Z"}`:                           true,
		"time=2026-11-26T05:00:01Z level=INFO msg=x":               true,
		"see you at 2026-11-26T05:00:01Z":                          false, // what it is about
		"2026-11-26T05:00:01 without a zone":                       false,
		"2026-13-26T05:00:01Z is no month":                         false,
		"":                                                         false,
		"    at run (agent.js:12)":                                 false,
	} {
		if got := TimeOf(line); got.IsZero() == has || has && !got.Equal(want) {
			t.Errorf("%q: %v", line, got)
		}
	}
	for line, rest := range map[string]string{"2026-11-26T05:00:01Z [gateway] x": "[gateway] x", "[2026-11-26T05:00:01Z]  x": "x", "2026-11-26T05:00:01Z": ""} {
		if at, got := Cut(line); !at.Equal(want) || got != rest {
			t.Errorf("%q is cut into %v and %q", line, at, got)
		}
	}
	for _, line := range []string{`{"time":"2026-11-26T05:00:01Z"}`, "no time", ""} {
		if at, got := Cut(line); !at.IsZero() || got != line {
			t.Errorf("%q is cut into %v and %q", line, at, got)
		}
	}
	if got := TimeOf("2026-11-26T05:00:01.123456789Z x"); got.Nanosecond() != 123456789 {
		t.Errorf("%v", got)
	}
}
