package telemetry

import (
	"strings"
	"testing"
)

func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	var letters [26]map[byte]bool
	for range 10_000 {
		id := RequestID()
		if len(id) != 26 || !ValidRequestID(id) || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Fatalf("bad id %q", id)
		}
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
		for i := range letters {
			if letters[i] == nil {
				letters[i] = map[byte]bool{}
			}
			letters[i][id[i]] = true
		}
	}
	// 128 bits in 26 characters of 5: the first one carries three bits.
	for i, l := range letters {
		want := 32
		if i == 0 {
			want = 8
		}
		if len(l) != want {
			t.Errorf("character %d takes %d values, want %d", i, len(l), want)
		}
	}
}

func TestValidRequestID(t *testing.T) {
	for id, want := range map[string]bool{
		"8f14e45f-ceea-467f-ab94-2f1a3c5d7e90":     true,
		"Root=1-67891233-abcdef012345678912345678": true,
		"7F000001:8A34_7F000001:1F90_63_0B2F:1A":   true,
		"x":                                        true,
		"":                                         false,
		"a b":                                      false,
		"a\nb":                                     false,
		`a"b`:                                      false,
		"a<b":                                      false,
		"ä":                                        false,
		"100%":                                     false,
		strings.Repeat("a", 128):                   true,
		strings.Repeat("a", 129):                   false,
	} {
		if got := ValidRequestID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}

func TestRequestIDAllocatesItsStringAlone(t *testing.T) {
	var sink string
	if n := testing.AllocsPerRun(100, func() { sink = RequestID() }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	if sink == "" {
		t.Error("no id")
	}
}
