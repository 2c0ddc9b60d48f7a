// Package ui has the pages that creel shows to people.
//
// So far that is one: what a browser gets that asks for a page while the gateway
// is not ready. All other requests wait instead (package proxy); a person in
// front of a blank window does not know that waiting is worth it.
package ui

import (
	"context"
	"crypto/rand"
	_ "embed"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"creel/internal/gateway"
)

// patience is how long a browser waits for the page itself before it gets the
// loading page: a restart that is over by then shows as a slow page, no more.
const patience = 1500 * time.Millisecond

//go:embed loading.html
var loadingHTML string

var loadingPage = template.Must(template.New("loading").Parse(loadingHTML))

// Gateway is what the page asks of a supervisor.
type Gateway interface {
	Status() gateway.Status
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
	// Demand starts an on-demand gateway.
	Demand()
}

// Loading answers browsers' requests for pages while a gateway starts.
type Loading struct{ Gateway Gateway }

// Waiting answers with the loading page if a browser asks for a page and the
// gateway is not ready, nor gets ready within a moment. It returns false where
// it has not answered: the request goes on as any other.
func (l *Loading) Waiting(w http.ResponseWriter, r *http.Request) bool {
	if l.Gateway.Status().Ready() || !asksForPage(r) {
		return false
	}
	l.Gateway.Demand()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	st, err := l.Gateway.WaitFor(ctx, func(st gateway.Status) bool { return st.Ready() || refuses(st) })
	if err == nil || r.Context().Err() != nil {
		return false
	}
	l.write(w, st)
	return true
}

// refuses tells whether waiting is of no use: the request is to be told why.
func refuses(st gateway.Status) bool { return st.State == gateway.Failed || st.StopAsked }

// asksForPage tells a person's browser that opens a page from everything else:
// only browsers send Sec-Fetch fields (Fetch Metadata Request Headers, W3C).
func asksForPage(r *http.Request) bool {
	return r.Method == http.MethodGet &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// view is what the page shows to anyone: no reasons, no log lines.
type view struct {
	Nonce   string
	Words   string
	Elapsed int // seconds in this state
	Usual   int // seconds that a start usually takes; 0: not known
}

func (l *Loading) write(w http.ResponseWriter, st gateway.Status) {
	v := view{Nonce: rand.Text(), Words: words(st.State), Usual: int(math.Ceil(st.UsualStart.Seconds()))}
	v.Elapsed = int(time.Since(st.Since).Seconds())
	retry := max(1, v.Usual-v.Elapsed)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Retry-After", strconv.Itoa(retry))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "+
		"style-src 'nonce-"+v.Nonce+"'; script-src 'nonce-"+v.Nonce+"'")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = loadingPage.Execute(w, v) // the client may be gone: nobody is left to tell
}

// words says a state to someone who does not know the word for it.
func words(s gateway.State) string {
	switch s {
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
	default:
		return "The gateway is about to start."
	}
}
