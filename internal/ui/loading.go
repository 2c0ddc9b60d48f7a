package ui

import (
	"bytes"
	"context"
	"crypto/rand"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"creel/internal/auth"
	"creel/internal/gateway"
	"creel/internal/problem"
	"creel/internal/telemetry"
)

// patience is how long a browser waits for the page itself before it gets the
// loading page: a restart that is over by then shows as a slow page, no more.
const patience = 1500 * time.Millisecond

// Gateway is what the pages in its place ask of a supervisor.
type Gateway interface {
	Status() gateway.Status
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
	// Demand starts an on-demand gateway.
	Demand()
}

// Loading answers browsers that ask for a page of the gateway's when that cannot
// be had: while it starts, with a page that shows how far it is and moves on by
// itself; when it was stopped or given up, with one that says so. Programs get
// what they always get: an answer once there is one, or a problem document.
//
// Strangers are told that it does not work, and that its owner can see why. The
// reason and the last log lines are for those who may read.
type Loading struct {
	Gateway Gateway
	// Who says who is asking; nil: auth.From.
	Who func(*http.Request) auth.Principal
}

// mayRead tells whether who is asking may know the reason.
func (l *Loading) mayRead(r *http.Request) bool {
	if l.Who != nil {
		return l.Who(r).May(auth.Read)
	}
	return auth.From(r.Context()).May(auth.Read)
}

// Waiting answers if a browser asks for a page and the gateway is not ready, nor
// gets ready within a moment. It returns false where it has not answered: the
// request goes on as any other.
func (l *Loading) Waiting(w http.ResponseWriter, r *http.Request) bool {
	st := l.Gateway.Status()
	if st.Ready() || !asksForPage(r) {
		return false
	}
	if !refuses(st) {
		l.Gateway.Demand()
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		var err error
		st, err = l.Gateway.WaitFor(ctx, func(st gateway.Status) bool { return st.Ready() || refuses(st) })
		if r.Context().Err() != nil || err == nil && st.Ready() {
			return false
		}
	}
	if refuses(st) {
		l.writeRefusal(w, r, st)
		return true
	}
	l.writeLoading(w, r, st)
	return true
}

// Problem answers with a page in place of a problem document if a browser asks for
// a page. It returns false where it has not answered.
func (l *Loading) Problem(w http.ResponseWriter, r *http.Request, d *problem.Document) bool {
	if !asksForPage(r) || d.Status < 500 {
		return false
	}
	t := trouble{
		Status: d.Status, Title: "The gateway does not answer", Sentence: "It has failed to answer this request.",
		Retry: max(int(math.Ceil(d.RetryAfter.Seconds())), 0), RequestID: d.RequestID, Again: true,
	}
	switch {
	case d.Status == http.StatusServiceUnavailable:
		t.Title, t.Sentence = "The gateway is not available", "It cannot be reached just now. This page tries again by itself."
	case d.Status == http.StatusGatewayTimeout:
		t.Title, t.Sentence = "The gateway did not answer in time", "It is running, but took too long."
	}
	if l.mayRead(r) {
		t.Owner, t.Reason, t.Hint = true, sentence(telemetry.Redact(d.Title+": "+d.Detail)), d.Hint
		t.addEnd(l.Gateway.Status().LastEnd)
	}
	t.write(w)
	return true
}

// refuses tells whether waiting is of no use.
func refuses(st gateway.Status) bool { return st.State == gateway.Failed || st.StopAsked }

// asksForPage tells a person's browser that opens a page from everything else:
// only browsers send Sec-Fetch fields (Fetch Metadata Request Headers, W3C).
func asksForPage(r *http.Request) bool {
	return r.Method == http.MethodGet &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// standalone are the pages that stand alone: they have no part in the menu.
var standalone = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("standalone").Funcs(functions).ParseFS(files, "pages/loading.html", "pages/trouble.html"))
})

// writeStandalone answers with such a page. Header fields that were set for
// another answer are dropped, but for Connection.
func writeStandalone(w http.ResponseWriter, name string, status, retry int, nonce string, data any) {
	var b bytes.Buffer
	if err := standalone().ExecuteTemplate(&b, name, data); err != nil {
		panic(err) // of values of this package's own
	}
	h := w.Header()
	connection := h["Connection"]
	clear(h)
	if connection != nil {
		h["Connection"] = connection
	}
	secure(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(retry))
	}
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "+
		"style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+"'")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may be gone
}

// start is how far a start is, as anyone may know it.
type start struct {
	Ready   bool     `json:"ready"`
	Over    bool     `json:"over"` // waiting is of no use
	Words   string   `json:"words"`
	Steps   []string `json:"steps"`
	Step    int      `json:"step"`    // which of these is under way, from 0
	Elapsed int      `json:"elapsed"` // seconds in this state
	Usual   int      `json:"usual"`   // seconds that a start usually takes; 0: not known
}

func startOf(st gateway.Status) start {
	s := start{
		Ready: st.Ready(), Over: refuses(st), Words: words(st.State), Steps: []string{"Make room", "Start the program", "Wait for its first answer"},
		Usual: int(math.Ceil(st.UsualStart.Seconds())), Elapsed: max(0, int(time.Since(st.Since).Seconds())),
	}
	switch st.State {
	case gateway.Restoring:
		s.Steps[0] = "Put its state in place"
	case gateway.Draining, gateway.Stopping:
		s.Steps[0] = "Let the old one end"
	case gateway.Backoff:
		s.Steps[0] = "Wait a little after a crash"
	case gateway.Starting:
		s.Step = 1
		if st.PID != 0 {
			s.Step = 2
		}
	case gateway.Ready, gateway.Suspect:
		s.Step = 2
	case gateway.Stopped, gateway.Failed:
	}
	return s
}

// loading is what the loading page shows.
type loading struct {
	start
	Nonce  string
	Name   string
	Owner  bool
	Reason string // for those who may read
}

func (l *Loading) writeLoading(w http.ResponseWriter, r *http.Request, st gateway.Status) {
	v := loading{start: startOf(st), Nonce: rand.Text(), Name: st.Name, Owner: l.mayRead(r)}
	if v.Owner && st.LastEnd != nil && !st.LastEnd.Benign {
		v.Reason = sentence(telemetry.Redact(st.LastEnd.Message))
	}
	writeStandalone(w, "loading", http.StatusServiceUnavailable, max(1, v.Usual-v.Elapsed), v.Nonce, v)
}

// trouble is what the page shows that stands for an answer which cannot be had.
type trouble struct {
	Status    int
	Nonce     string
	Title     string
	Sentence  string // for strangers
	Owner     bool   // who looks may know more:
	Reason    string
	Hint      string
	Log       []string
	Retry     int // seconds until it is worth trying again; 0: not known
	RequestID string
	Again     bool // a reload may help
	Watch     bool // it is loaded again when the gateway starts
}

// shownEnd is how many of the last log lines are shown.
const shownEnd = 20

func (t *trouble) addEnd(end *gateway.End) {
	if end == nil {
		return
	}
	for _, line := range end.Log[max(0, len(end.Log)-shownEnd):] {
		t.Log = append(t.Log, plainText(telemetry.Redact(line)))
	}
}

// The pauses after which a gateway that was stopped or given up may be there again.
const (
	retryStopped = 30
	retryFailed  = 60
)

func (l *Loading) writeRefusal(w http.ResponseWriter, r *http.Request, st gateway.Status) {
	t := trouble{Status: http.StatusServiceUnavailable, Title: "The gateway is stopped", Sentence: "Somebody has stopped it, and it stays so until it is started.", Retry: retryStopped, Watch: true}
	if st.State == gateway.Failed {
		t.Title, t.Sentence, t.Retry = "The gateway cannot be started", "It is not running, and starting it again has not helped.", retryFailed
		if !st.NextStart.IsZero() {
			t.Retry = max(1, int(math.Ceil(time.Until(st.NextStart).Seconds())))
		}
	}
	if l.mayRead(r) {
		t.Owner, t.Reason = true, sentence(telemetry.Redact(st.Reason))
		if st.LastEnd != nil && st.State == gateway.Failed {
			t.Hint = st.LastEnd.Hint
			t.addEnd(st.LastEnd)
		}
	}
	t.write(w)
}

func (t *trouble) write(w http.ResponseWriter) {
	t.Nonce = rand.Text()
	writeStandalone(w, "trouble", t.Status, t.Retry, t.Nonce, t)
}

// words says a state to someone who does not know the word for it.
func words(s gateway.State) string {
	switch s {
	case gateway.Ready:
		return "The gateway is ready."
	case gateway.Starting:
		return "The gateway is starting."
	case gateway.Restoring:
		return "The gateway's state is being put in place; it starts then."
	case gateway.Stopping, gateway.Draining:
		return "The gateway is being restarted."
	case gateway.Backoff:
		return "The gateway has crashed and will be started again in a moment."
	case gateway.Suspect:
		return "The gateway does not answer; it is being checked."
	case gateway.Failed:
		return "The gateway cannot be started."
	case gateway.Stopped:
	}
	return "The gateway is about to start."
}

// waiting tells the loading page, and anyone, how far a start is.
func (u *UI) waiting(w http.ResponseWriter, _ *http.Request) {
	secure(w.Header())
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(startOf(u.opts.Supervisor.Status()))) // the client may be gone
}
