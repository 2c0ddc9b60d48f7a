package chaos

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"creel/test/crashgw"
	"creel/test/harness"
)

// wrongs collects what a world that does not exist is found wrong for.
type wrongs struct {
	t    *testing.T
	w    *world
	list []string
}

func newWrongs(t *testing.T) *wrongs {
	c := &wrongs{t: t}
	c.w = &world{Creel: &harness.Creel{T: t, LedgerPath: filepath.Join(t.TempDir(), "ledger")}, reported: &c.list}
	return c
}

// want checks that what was found since the last call is that; empty: nothing.
func (c *wrongs) want(what, report string) {
	c.t.Helper()
	found := strings.Join(c.list, "\n")
	if c.list = nil; report == "" && found != "" || !strings.Contains(found, report) {
		c.t.Errorf("%s: found wrong is %q, want %q", what, found, report)
	}
}

// TestBrokenRequests: what clients saw against a ledger that says otherwise.
func TestBrokenRequests(t *testing.T) {
	c := newWrongs(t)
	check := func(what, report string, q harness.Request, executed int) {
		t.Helper()
		var ledger []byte
		for range executed {
			line, err := json.Marshal(crashgw.Entry{Kind: crashgw.KindExecuted, ID: "x"})
			if err != nil {
				t.Fatal(err)
			}
			ledger = append(ledger, append(line, '\n')...)
		}
		if err := os.WriteFile(c.w.LedgerPath, ledger, 0o600); err != nil {
			t.Fatal(err)
		}
		q.ID, q.Sent, q.Ended = "x", time.Now(), time.Now()
		c.w.checkRequests(&round{load: &load{requests: []*harness.Request{&q}}})
		c.want(what, report)
	}
	answered := func(kind string) harness.Request { return harness.Request{Kind: kind, Status: 200} }
	check("a POST", "", answered("post"), 1)
	check("a POST that was not executed", "answered, but not executed", answered("post"), 0)
	check("a POST that was executed twice", "executed 2 times", answered("post"), 2)
	check("a keyed POST that was executed twice", "executed 2 times", answered("keyed"), 2)
	check("a failed POST that was executed twice", "executed 2 times", harness.Request{Kind: "post", Status: 502, Code: "gateway_crashed"}, 2)
	check("a PUT that was executed twice", "", answered("put"), 2)
	check("a GET that was lost", "a replayable request failed", harness.Request{Kind: "get", Status: 502, Code: "gateway_crashed"}, 0)
	check("a POST that was lost without a crash", "a failure that is not true", harness.Request{Kind: "post", Status: 502, Code: "gateway_crashed"}, 1)
	check("an answer of somebody else", "no answer, and no problem document", harness.Request{Kind: "post", Err: errors.New("the answer is another request's")}, 1)
}

// TestBrokenStreams: streams and sockets that end as they must not.
func TestBrokenStreams(t *testing.T) {
	c := newWrongs(t)
	check := func(what, report string, r round, b broken) {
		t.Helper()
		r.load = &load{streams: []broken{b}}
		c.w.checkStreams(&r)
		c.want(what, report)
	}
	crash, cut := round{ends: true}, errors.New("unexpected EOF")
	check("a stream that a crash has cut", "", crash, broken{what: "event stream", code: -1, err: cut})
	check("one that ends like a whole one", "as if it were whole", crash, broken{what: "event stream", code: -1, err: errCleanEnd})
	check("one that breaks for nothing", "though nothing has ended", round{}, broken{what: "event stream", code: -1, err: cut})
	check("one that creel's death has cut", "", round{windows: []window{{10, 20}}}, broken{what: "event stream", from: 5, to: 15, code: -1, err: cut})
	check("one that breaks when creel is back", "though nothing has ended", round{windows: []window{{10, 20}}}, broken{what: "event stream", from: 25, to: 30, code: -1, err: cut})
	check("a WebSocket that is told", "", crash, broken{what: "WebSocket", code: 1012, err: cut})
	check("one that is told nothing", "was not told why", crash, broken{what: "WebSocket", code: -1, err: cut})
	check("one that is told nonsense", "was not told why", crash, broken{what: "WebSocket", code: 1011, err: cut})
}

// TestBrokenSurface: a status, and pages, that do not say what is so.
func TestBrokenSurface(t *testing.T) {
	w, wrong := brokenWorld(t, settings)
	st := w.steady()
	w.checkSurface(st)
	if len(*wrong) > 0 {
		t.Fatalf("wrong from the first: %v", *wrong)
	}
	other := st
	other.PID++
	other.Generation++
	other.Trouble = []string{"something is the matter"}
	w.checkSurface(other)
	wantReport(t, *wrong, "is in charge by the status")
	wantReport(t, *wrong, "the public status is")
	wantReport(t, *wrong, "creel is in trouble: something is the matter")
	if err := w.ask("stop?wait=30s"); err != nil {
		t.Fatal(err)
	}
	*wrong = nil
	w.checkSurface(st)
	wantReport(t, *wrong, "readyz of a gateway that is ready: 503")
}

// TestBrokenLabel: a state that is another one than may be, without a word on how it
// has come, and a file beside it.
func TestBrokenLabel(t *testing.T) {
	w := newStateWorld(t, 0, rand.New(rand.NewPCG(1, 2)))
	wrong := &[]string{}
	w.reported = wrong
	w.steady()
	w.label("is")
	w.checkState(&round{was: "is", goal: "is", labels: []string{"is"}, begun: time.Now()})
	if len(*wrong) > 0 {
		t.Fatalf("wrong from the first: %v", *wrong)
	}
	w.checkState(&round{was: "is", labels: []string{"was"}, begun: time.Now()})
	wantReport(t, *wrong, `the state is "is", and may be one of ["was"]`)
	*wrong = nil
	w.checkState(&round{was: "is", goal: "was", labels: []string{"is", "was"}, begun: time.Now()})
	wantReport(t, *wrong, `nothing kept it from being "was"`)
	list, err := w.snapshots()
	if err != nil || len(list.Snapshots) == 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	*wrong = nil
	w.checkContent(list.Snapshots[len(list.Snapshots)-1], "was", true)
	wantReport(t, *wrong, `of state "was" holds "is"`)
}
