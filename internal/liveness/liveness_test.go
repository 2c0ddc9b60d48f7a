package liveness

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var policy = Policy{Suspect: 30 * time.Second, Restart: time.Minute, Busy: 10 * time.Minute}

const (
	s = time.Second
	m = time.Minute
)

func TestJudge(t *testing.T) {
	tests := []struct {
		name string
		in   Signals
		want Verdict
	}{
		{"the probe is answered", Signals{}, Alive},
		{"and one request takes ten minutes", Signals{Requests: 1, Waiting: 10 * m, Idle: 10 * m, Seen: true}, Alive},
		{"and a hundred do", Signals{Requests: 100, Waiting: 10 * m, Idle: 10 * m, Seen: true, Stuck: "x"}, Alive},
		{"a late probe", Signals{Silent: 5 * s, Requests: 3, Waiting: 5 * s, Idle: 5 * s, Seen: true}, Alive},
		{"just before suspicion", Signals{Silent: 30*s - 1, Requests: 3, Waiting: m, Idle: m, Seen: true}, Alive},

		{"the probe alone, the process works", Signals{Silent: 5 * m, Seen: true}, Busy},
		{"the probe alone, for a day, the process works", Signals{Silent: 24 * time.Hour, Seen: true}, Busy},
		{"the probe alone, the process cannot be seen", Signals{Silent: 24 * time.Hour}, Busy},
		{"requests that have not waited long, the process works", Signals{Silent: 5 * m, Requests: 1, Waiting: 5 * s, Seen: true}, Busy},

		{"full load for a minute", Signals{Silent: m, Requests: 5, Waiting: m, Seen: true}, Busy},
		{"full load for five minutes, with a bad word of its own", Signals{Silent: 5 * m, Requests: 5, Waiting: 5 * m, Seen: true, Stuck: "event loop"}, Busy},
		{"an endless loop", Signals{Silent: 10 * m, Requests: 1, Waiting: 10 * m, Seen: true}, Hung},
		{"an endless loop that says so", Signals{Silent: 10 * m, Seen: true, Stuck: "event loop"}, Hung},
		{"requests wait, the process cannot be seen", Signals{Silent: 9 * m, Requests: 1, Waiting: 9 * m}, Busy},
		{"and go on waiting", Signals{Silent: 10 * m, Requests: 1, Waiting: 10 * m}, Hung},

		{"idle", Signals{Silent: 30 * s, Idle: 30 * s, Seen: true}, Suspect},
		{"idle, with requests", Signals{Silent: 59 * s, Requests: 1, Waiting: 40 * s, Idle: 59 * s, Seen: true}, Suspect},
		{"idle for long enough", Signals{Silent: m, Idle: m, Seen: true}, Hung},
		{"idle again after work", Signals{Silent: 5 * m, Idle: 29 * s, Seen: true}, Busy},
		{"silent for long, idle of late", Signals{Silent: 5 * m, Idle: 30 * s, Seen: true}, Hung},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Judge(tt.in, policy); got != tt.want {
				t.Errorf("%+v is %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func signals(t *rapid.T) Signals {
	d := func(name string) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(20*m)).Draw(t, name))
	}
	return Signals{
		Silent: d("silent"), Waiting: d("waiting"), Requests: rapid.IntRange(0, 3).Draw(t, "requests"),
		Idle: d("idle"), Seen: rapid.Bool().Draw(t, "seen"), Stuck: rapid.SampledFrom([]string{"", "stuck"}).Draw(t, "word"),
	}
}

var order = map[Verdict]int{Alive: 0, Busy: 1, Suspect: 2, Hung: 3}

// TestNeverByOneSignal takes away every second sign: nothing is left to act on.
func TestNeverByOneSignal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := signals(t)
		probe := Signals{Silent: in.Silent, Seen: true}
		if v := Judge(probe, policy); order[v] > order[Busy] {
			t.Fatalf("by the probe alone: %s", v)
		}
		rest := in
		rest.Silent = 0
		if v := Judge(rest, policy); v != Alive {
			t.Fatalf("though the probe is answered: %s", v)
		}
	})
}

// TestWorseIsWorse: no signal that gets worse makes the verdict better.
func TestWorseIsWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := signals(t)
		worse := in
		worse.Silent += time.Duration(rapid.Int64Range(0, int64(m)).Draw(t, "more silent"))
		worse.Waiting += time.Duration(rapid.Int64Range(0, int64(m)).Draw(t, "more waiting"))
		worse.Idle += time.Duration(rapid.Int64Range(0, int64(m)).Draw(t, "more idle"))
		worse.Requests++
		worse.Stuck = "stuck"
		if a, b := Judge(in, policy), Judge(worse, policy); order[b] < order[a] {
			t.Fatalf("%+v is %s, and %+v %s", in, a, worse, b)
		}
	})
}

func TestExplain(t *testing.T) {
	in := Signals{Silent: 61 * s, Requests: 2, Waiting: 50 * s, Idle: m, Seen: true, Stuck: "event loop degraded (cpu)"}
	text := in.Explain(policy)
	for _, want := range []string{"1m1s", "for 50s (2 now)", "done nothing for 1m0s", "event loop degraded (cpu)"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

// TestRecord walks through the life of an instance second by second.
func TestRecord(t *testing.T) {
	var r Record
	a := Activity{CPU: time.Hour, IO: 1 << 30, Tasks: 7}
	second := func(n int, each func()) {
		for range n {
			r.Advance(s)
			each()
		}
	}
	idle := func() { r.Looked(a) }
	verdict := func(want Verdict) {
		t.Helper()
		if got := Judge(r.Signals(), policy); got != want {
			t.Errorf("at %v: %s, want %s; %+v", r.Now(), got, want, r.Signals())
		}
	}
	second(100, func() { r.Answered() })
	verdict(Alive)
	second(100, func() {}) // nobody asks
	verdict(Alive)
	r.Answered()
	r.Unanswered()
	second(29, idle)
	verdict(Alive)
	second(2, idle)
	verdict(Suspect)
	r.Answered()
	verdict(Alive)

	// At work the processor, the disk and children count each for themselves.
	for name, work := range map[string]func(){
		"cpu":                 func() { a.CPU += 60 * time.Millisecond },
		"io":                  func() { a.IO += 2000 },
		"tasks":               func() { a.Tasks++ },
		"no processor for it": func() { a.Runnable = true },
	} {
		r.Answered()
		r.Unanswered()
		a.Runnable = false
		second(300, func() { work(); r.Looked(a) })
		if got := Judge(r.Signals(), policy); got != Busy {
			t.Errorf("%s: %s", name, got)
		}
	}
	a.Runnable = false
	// It stops working, and has not answered all the while.
	second(29, idle)
	verdict(Busy)
	second(2, idle)
	verdict(Hung)

	// A deadlocked process is not quite still.
	r.Answered()
	r.Unanswered()
	second(61, func() { a.CPU += 2 * time.Millisecond; a.IO += 100; r.Looked(a) })
	verdict(Hung)

	// Two looks at once say nothing.
	r.Answered()
	r.Unanswered()
	second(61, func() { r.Looked(a); r.Looked(a) })
	verdict(Hung)

	// A look that fails is no sign.
	r.Answered()
	r.Unanswered()
	second(61, func() { r.Looked(a); r.Looked(a); r.NotLooked() })
	verdict(Busy)

	// Waiting begins when the first waits, and anew with each sign of life.
	r.Answered()
	r.Requests(2)
	second(40, func() { r.Requests(2) })
	if got := r.Signals(); got.Waiting != 40*s || got.Requests != 2 || got.Silent != 0 {
		t.Errorf("signals %+v", got)
	}
	r.Answered()
	second(1, func() { r.Requests(3) })
	if got := r.Signals(); got.Waiting != s {
		t.Errorf("signals %+v", got)
	}
	r.Requests(0)
	if got := r.Signals(); got.Waiting != 0 {
		t.Errorf("signals %+v", got)
	}
}
