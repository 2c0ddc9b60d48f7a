package proxy

import (
	"testing"
	"time"
)

func TestConviction(t *testing.T) {
	ms := func(n ...time.Duration) []time.Duration {
		for i := range n {
			n[i] *= time.Millisecond
		}
		return n
	}
	for _, tt := range []struct {
		name    string
		after   []time.Duration
		outside bool
		shared  bool // the last one
		want    bool
	}{
		{"two crashes", ms(1, 1), false, false, false},
		{"three, the last one alone", ms(1, 70, 300), false, false, true},
		{"three, all of them shared", ms(1, 1, 1), false, true, false},
		{"killed from outside, always at once", ms(2, 20, 9), true, false, true},
		{"killed from outside, always after as long", ms(300, 330, 290), true, false, true},
		{"killed from outside, at any time", ms(3, 140, 60), true, false, false},
		{"killed from outside, at last not after as long", ms(200, 210, 20), true, false, false},
		{"and again, until they are alike", ms(200, 210, 20, 190), true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c crashRecord
			for i, after := range tt.after {
				c.add(&failure{after: after, outside: tt.outside, onTrial: i >= 2 && !tt.shared})
			}
			if c.convicted() != tt.want {
				t.Errorf("convicted: %v", c.convicted())
			}
		})
	}
}
