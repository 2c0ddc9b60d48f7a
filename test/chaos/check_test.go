package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"creel/internal/api"
	"creel/internal/event"
	"creel/test/crashgw"
	"creel/test/harness"
)

// check looks at all that a round has left. The world is steady.
func (w *world) check(r *round, st api.Status) {
	w.T.Helper()
	if len(r.windows) > 0 {
		// The creel that knew of an end may have died within the moment that the
		// journal takes to write it, when it had cleared all else away.
		for g := r.before.Generation; g < st.Generation; g++ {
			w.untold[g] = true
		}
	}
	w.requests = append(w.requests, r.load.requests...)
	w.history = append(w.history, r.load.history...)
	w.checkSurface(st)
	if w.stateDir != "" {
		w.checkState(r)
	}
	w.checkPlace(st)
	w.checkOpenFiles(st)
	w.checkGeneration(r, st)
	w.awaitFor(soon, "a journal that tells all of it", func() error { // it is written a moment later
		return checkJournal(w.journal(), st.Generation, w.untold)
	})
	w.checkLives()
	w.checkRequests(r)
	w.checkStreams(r)
	w.checkStore(r)
}

// checkGeneration: what has not ended the instance leaves it as it is.
func (w *world) checkGeneration(r *round, st api.Status) {
	w.T.Helper()
	same := st.PID == r.before.PID && st.Generation == r.before.Generation
	if !r.ends && !same {
		w.errorf("the gateway was generation %d, pid %d and is generation %d, pid %d", r.before.Generation, r.before.PID, st.Generation, st.PID)
	}
	if st.Generation < r.before.Generation || !same && st.Generation == r.before.Generation {
		w.errorf("from generation %d, pid %d to generation %d, pid %d", r.before.Generation, r.before.PID, st.Generation, st.PID)
	}
}

// checkSurface: what creel says is so.
func (w *world) checkSurface(st api.Status) {
	w.T.Helper()
	client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, []byte) {
		resp, err := client.Get(w.URL(path))
		if err != nil {
			w.errorf("%s: %v", path, err)
			return 0, nil
		}
		defer resp.Body.Close()
		var b json.RawMessage
		if err := json.NewDecoder(resp.Body).Decode(&b); err != nil {
			w.errorf("%s: %v", path, err)
		}
		return resp.StatusCode, b
	}
	if status, b := get("/_creel/readyz"); status != http.StatusOK {
		w.errorf("readyz of a gateway that is ready: %d %s", status, b)
	}
	var public api.PublicStatus
	_, b := get("/_creel/status")
	if err := json.Unmarshal(b, &public); err != nil || !public.OK || public.Generation != st.Generation || public.Status != st.State {
		w.errorf("the public status is %s, the owner's %+v", b, st)
	}
	var health crashgw.Health
	_, b = get("/healthz") // of the gateway
	if err := json.Unmarshal(b, &health); err != nil || health.PID != st.PID {
		w.errorf("pid %d is in charge by the status; %s answers", st.PID, b)
	}
	for _, trouble := range st.Trouble {
		// That a restore was taken back, or not begun, is told until one succeeds.
		if w.stateDir == "" || !strings.Contains(trouble, "the old state is back") && !strings.Contains(trouble, "ask again") {
			w.errorf("creel is in trouble: %s", trouble)
		}
	}
}

// journal reads the journal's files.
func (w *world) journal() []event.Event {
	w.T.Helper()
	var all []event.Event
	for e, err := range event.ReadDir(filepath.Join(w.DataDir(), "journal"), 0, 0) {
		if err != nil {
			w.fatalf("the journal cannot be read: %v", err)
		}
		all = append(all, e)
	}
	return all
}

func (w *world) checkLives() {
	w.T.Helper()
	lives, err := crashgw.ReadLives(w.LivesPath)
	if err == nil {
		var changes []crashgw.StoreLine
		if changes, err = crashgw.ReadStore(w.StorePath); err == nil {
			err = checkLives(lives, changes)
		}
	}
	if err != nil {
		w.errorf("lives: %v", err)
	}
}

// started is a time that both clocks know.
var (
	started     = time.Now()
	startedMono = now()
)

func mono(t time.Time) int64 { return startedMono + int64(t.Sub(started)) }

// checkRequests compares what clients saw with what was executed.
func (w *world) checkRequests(r *round) {
	w.T.Helper()
	executed := w.ReadLedger().Executions()
	for _, q := range r.load.requests {
		n := executed[q.ID]
		unsafe := q.Kind == "post" || q.Kind == "keyed"
		switch {
		case q.OK() && q.Kind != "socket" && n == 0:
			w.errorf("answered, but not executed: %v", q)
		case unsafe && n > 1:
			w.errorf("executed %d times: %v", n, q)
		case !q.OK():
			w.checkFailure(r, fmt.Sprintf("request %v", q), mono(q.Sent), mono(q.Ended), q.Replayable(), q.Code, q.Err)
		}
	}
}

// checkFailure tells whether a request may have failed like that.
func (w *world) checkFailure(r *round, what string, from, to int64, replayable bool, code string, err error) {
	w.T.Helper()
	switch {
	case r.excused(from, to): // no creel to answer
	case code == "":
		w.errorf("no answer, and no problem document (%v): %s", err, what)
	case slices.Contains(r.scenario.codes, code):
	case replayable:
		w.errorf("a replayable request failed: %s", what)
	case r.scenario.unwatched && r.ends && code == "no_response":
	case code == "gateway_restarted" && r.ends && to-from >= int64(drain): // it had its time to end
	case code != "gateway_crashed" || !r.ends:
		w.errorf("a failure that is not true: %s", what)
	}
}

// checkStreams: streams and sockets end only with the instance or with creel,
// and no client takes a cut for an end.
func (w *world) checkStreams(r *round) {
	w.T.Helper()
	for _, b := range r.load.streams {
		const goingAway, internalError, serviceRestart = 1001, 1011, 1012
		told := b.code == goingAway || b.code == serviceRestart || r.scenario.unwatched && b.code == internalError
		switch {
		case errors.Is(b.err, errCleanEnd):
			w.errorf("%s: %v", b.what, b.err)
		case r.excused(b.from, b.to):
		case len(r.scenario.codes) > 0 && b.code < 0: // refused, or cut at creel's own end
		case !r.ends:
			w.errorf("%s broke though nothing has ended: %v", b.what, b.err)
		case b.what == "WebSocket" && !told:
			w.errorf("%s was not told why it ends: %v", b.what, b.err)
		}
	}
}

// checkStore: the history of the round's list is linearizable, and what the
// clients of the store saw is true.
func (w *world) checkStore(r *round) {
	w.T.Helper()
	list := fmt.Sprintf("l%d", w.round)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &storeClient{http: &http.Client{Transport: transport, Timeout: harness.Patience}, url: w.URL("/store?list=" + list), client: -1, list: list}
	last := c.do("read", http.MethodGet, "", "")
	if last.Result != answered {
		w.errorf("the last read failed: %+v", last)
	}
	w.history = append(w.history, last)
	if err := checkHistory(append(slices.Clone(r.load.history), last)); err != nil {
		w.errorf("%v", err)
	}
	for _, o := range r.load.history {
		if o.Result == unknown || o.Result == notApplied {
			replayable := o.Kind != "add" || o.Keyed
			w.checkFailure(r, fmt.Sprintf("%+v", o), o.Call, o.Return, replayable, o.Code, errors.New(o.Why))
		}
	}
}
