package chaos

import (
	"strings"
	"testing"

	"creel/internal/event"
	"creel/test/crashgw"
)

// TestCheckerHistory: histories made by hand, and the verdict that is due.
func TestCheckerHistory(t *testing.T) {
	at := int64(0)
	// op is an operation after all those before it.
	op := func(kind, value, result string, values ...string) operation {
		at += 10
		return operation{List: "l", Kind: kind, Value: value, Call: at, Return: at + 5, Result: result, Values: values}
	}
	meanwhile := func(o operation, until int64) operation {
		o.Return = until
		return o
	}
	for _, tt := range []struct {
		name    string
		history []operation
		right   bool
	}{
		{"one after the other", []operation{op("add", "a", answered, "a"), op("put", "b", answered, "a", "b"), op("read", "", answered, "a", "b")}, true},
		{"at the same time", []operation{meanwhile(op("add", "a", answered, "b", "a"), at+100), op("add", "b", answered, "b"), op("read", "", answered, "b")}, true},
		{"a POST executed twice", []operation{op("add", "a", answered, "a"), op("read", "", answered, "a", "a")}, false},
		{"a POST executed twice and said so", []operation{op("add", "a", answered, "a", "a")}, false},
		{"an acknowledged write that is lost", []operation{op("add", "a", answered, "a"), op("add", "b", answered, "b"), op("read", "", answered, "b")}, false},
		{"an acknowledged write that is lost in the end", []operation{op("add", "a", answered, "a"), op("read", "", answered)}, false},
		{"a lost one that was not acknowledged", []operation{op("add", "a", unknown), op("read", "", answered)}, true},
		{"one without an answer, executed late", []operation{op("add", "a", unknown), op("read", "", answered), op("read", "", answered, "a")}, true},
		{"one without an answer, executed twice", []operation{op("add", "a", unknown), op("read", "", answered, "a"), op("read", "", answered, "a", "a")}, false},
		{"a PUT sent again", []operation{op("put", "a", duplicate, "a"), op("read", "", answered, "a")}, true},
		{"a PUT executed twice", []operation{op("put", "a", answered, "a"), op("read", "", answered, "a", "a")}, false},
		{"a keyed POST sent again, others in between", []operation{meanwhile(op("add", "a", duplicate, "a", "b"), at+100), op("add", "b", answered, "a", "b")}, true},
		{"a keyed POST executed twice", []operation{op("add", "a", duplicate, "a", "a")}, false},
		{"one that was refused, and executed", []operation{op("add", "a", notApplied), op("read", "", answered, "a")}, false},
		{"a read from the past", []operation{op("add", "a", answered, "a"), op("read", "", answered), op("read", "", answered, "a")}, false},
		{"a read of a second instance with a state of its own", []operation{
			op("add", "a", answered, "a"), op("add", "b", answered, "a", "b"), op("add", "c", answered, "a", "c"), op("read", "", answered, "a", "b"),
		}, false},
	} {
		if err := checkHistory(tt.history); (err == nil) != tt.right {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestCheckerLives: the same for lives.
func TestCheckerLives(t *testing.T) {
	start := func(pid int, generation string, at int64) crashgw.Life {
		return crashgw.Life{Kind: crashgw.LifeStart, PID: pid, Generation: generation, Mono: at}
	}
	ends := func(pid int, at int64) crashgw.Life { return crashgw.Life{Kind: crashgw.LifeEnd, PID: pid, Mono: at} }
	change := func(pid int, at int64) crashgw.StoreLine { return crashgw.StoreLine{PID: pid, Mono: at} }
	for _, tt := range []struct {
		name    string
		lives   []crashgw.Life
		changes []crashgw.StoreLine
		right   bool
	}{
		{"one after the other", []crashgw.Life{start(1, "1", 10), ends(1, 20), start(2, "2", 30), start(1, "4", 40)}, []crashgw.StoreLine{change(1, 15), change(2, 35), change(1, 45)}, true},
		{"the lock was held", []crashgw.Life{start(1, "1", 10), {Kind: crashgw.LifeOverlap, PID: 2, Generation: "2", Mono: 20}}, nil, false},
		{"a change after the next start", []crashgw.Life{start(1, "1", 10), start(2, "2", 20)}, []crashgw.StoreLine{change(1, 25)}, false},
		{"an end after the next start", []crashgw.Life{start(1, "1", 10), start(2, "2", 20), ends(1, 25)}, nil, false},
		{"a generation that repeats", []crashgw.Life{start(1, "1", 10), start(2, "1", 20)}, nil, false},
		{"a generation from the past", []crashgw.Life{start(1, "2", 10), start(2, "1", 20)}, nil, false},
		{"a change by nobody", []crashgw.Life{start(1, "1", 10)}, []crashgw.StoreLine{change(3, 15)}, false},
	} {
		if err := checkLives(tt.lives, tt.changes); (err == nil) != tt.right {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestCheckerJournal: the same for the journal, of which each word is a kind and
// its generation. The last generation is the present one.
func TestCheckerJournal(t *testing.T) {
	for _, tt := range []struct {
		name, journal string
		present       uint64
		right         bool
	}{
		{"a life", "creel_started starting:1 ready:1 exited:1 starting:2 ready:2 draining:2 stopping:2 exited:2 stopped:2 starting:3 ready:3", 3, true},
		{"taken over", "creel_started starting:1 ready:1 creel_started adopted:1", 1, true},
		{"died while creel was away", "creel_started starting:1 ready:1 creel_started exited:1 starting:2 ready:2", 2, true},
		{"creel died while it started one", "creel_started starting:1 creel_started starting:2 ready:2", 2, true},
		{"its end is told twice", "creel_started starting:1 ready:1 exited:1 creel_started exited:1 starting:2 ready:2", 2, true},
		{"creel died before the number was written", "creel_started starting:1 creel_started starting:1 ready:1", 1, true},
		{"no end", "creel_started starting:1 ready:1 starting:2 ready:2", 2, false},
		{"no end, though another creel came", "creel_started starting:1 ready:1 creel_started starting:2 ready:2", 2, false},
		{"a generation that repeats", "creel_started starting:1 ready:1 exited:1 starting:1 ready:1", 1, false},
		{"a generation from the past", "creel_started starting:2 ready:2 exited:2 starting:1 ready:1", 1, false},
		{"ready after its end", "creel_started starting:1 ready:1 exited:1 ready:1", 1, false},
		{"taken over after its end", "creel_started starting:1 ready:1 exited:1 creel_started adopted:1", 1, false},
		{"the earlier one is heard of again", "creel_started starting:1 ready:1 exited:1 starting:2 ready:2 suspect:1", 2, false},
		{"the present one has ended", "creel_started starting:1 ready:1 exited:1", 1, false},
		{"the present one is another", "creel_started starting:1 ready:1", 2, false},
		{"a number is missing", "creel_started gap starting:1 ready:1", 1, false},
	} {
		if err := checkJournal(journalOf(tt.journal), tt.present, nil); (err == nil) != tt.right {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func journalOf(text string) []event.Event {
	var events []event.Event
	seq := uint64(0)
	for word := range strings.FieldsSeq(text) {
		seq++
		if word == "gap" {
			continue
		}
		kind, number, _ := strings.Cut(word, ":")
		e := event.Event{Seq: seq, Kind: event.Kind(kind)}
		for _, digit := range number {
			e.Generation = e.Generation*10 + uint64(digit-'0')
		}
		events = append(events, e)
	}
	return events
}
