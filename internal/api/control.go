package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/logfile"
	"creel/internal/problem"
	"creel/internal/snapshot"
	"creel/internal/telemetry"
)

// Status is all that is known, for the owner.
type Status struct {
	gateway.Status
	OK    bool  `json:"ok"` // the gateway is ready
	Held  int   `json:"held"`
	Creel Creel `json:"creel"`
	// Degraded is what keeps creel from doing all of its work; Trouble says it in
	// words.
	Degraded []health.Report `json:"degraded,omitempty"`
	Trouble  []string        `json:"trouble,omitempty"`
	// PendingChanges were read by a reload and do not count yet.
	PendingChanges []config.Change `json:"pending_changes,omitempty"`
	// Snapshots is how safe the gateway's state is; nil: nobody looks after it.
	Snapshots *snapshot.Status `json:"snapshots,omitempty"`
}

// Creel is creel itself.
type Creel struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Listen    string    `json:"listen"`
	Link      string    `json:"link,omitempty"`
}

func (a *API) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, a.fullStatus())
}

func (a *API) fullStatus() Status {
	st := a.opts.Gateway.Status()
	full := Status{Status: st, OK: st.Ready(), Held: a.opts.Gateway.Held(), Creel: Creel{
		Version: a.opts.Version, PID: pid, StartedAt: a.opts.StartedAt, Listen: a.opts.Listen,
	}}
	if a.opts.Link != nil {
		full.Creel.Link = a.opts.Link()
	}
	if a.opts.Pending != nil {
		full.PendingChanges = a.opts.Pending()
	}
	if a.opts.Health != nil {
		full.Degraded = a.opts.Health()
	}
	for _, r := range full.Degraded {
		full.Trouble = append(full.Trouble, r.String())
	}
	if a.opts.Snapshots != nil {
		st := a.opts.Snapshots.Status()
		full.Snapshots = &st
	}
	for _, p := range st.Strays {
		full.Trouble = append(full.Trouble, fmt.Sprintf("pid %d runs in the gateway's name beside the recorded instance: %s (%s)", p.PID, p.Command, p.Where))
	}
	return full
}

// started and stopped tell when what was asked for has come about.
func started(st gateway.Status) bool { return st.State == gateway.Ready || st.State == gateway.Failed }
func stopped(st gateway.Status) bool { return st.State == gateway.Stopped }

// act asks something of the gateway. With ?wait=DURATION it answers once that
// has come about, else at once: 200 with the status, or 504 if it takes longer.
// A nil done means: ready with a later generation than now, or failed.
func (a *API) act(do func(Gateway, context.Context) error, done func(gateway.Status) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wait, err := time.ParseDuration(orDefault(r.URL.Query().Get("wait"), "0s"))
		if err != nil || wait < 0 {
			bad(w, "wait is no duration: "+r.URL.Query().Get("wait"))
			return
		}
		before := a.opts.Gateway.Status().Generation
		if err := do(a.opts.Gateway, r.Context()); err != nil {
			failed(w, err)
			return
		}
		if wait > 0 {
			reached := done
			if reached == nil {
				reached = func(st gateway.Status) bool { return started(st) && st.Generation > before }
			}
			ctx, cancel := context.WithTimeout(r.Context(), wait)
			defer cancel()
			if st, err := a.opts.Gateway.WaitFor(ctx, reached); err != nil {
				late(w, st, wait)
				return
			}
		}
		writeJSON(w, http.StatusOK, a.fullStatus())
	}
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func bad(w http.ResponseWriter, detail string) {
	d := problem.Document{Status: http.StatusBadRequest, Code: "bad_request", Title: "Bad request", Detail: detail}
	d.Write(w)
}

func failed(w http.ResponseWriter, err error) {
	d := problem.Document{Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "creel cannot do that now", Detail: err.Error(), RetryAfter: time.Second}
	d.Write(w)
}

func late(w http.ResponseWriter, st gateway.Status, wait time.Duration) {
	d := problem.Document{
		Status: http.StatusGatewayTimeout, Code: "not_yet", Title: "Not yet", Generation: st.Generation, Gateway: st.Name,
		Detail: fmt.Sprintf("after %v the gateway is still %s: %s", wait, st.State, st.Reason), Hint: "It goes on: see `creel status`.",
	}
	d.Write(w)
}

// events gives journal events as JSON lines (application/x-ndjson). ?tail=N
// begins N events back, ?after=SEQ behind a sequence number; ?follow=1 goes on
// with those to come.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	tail, err := strconv.Atoi(orDefault(q.Get("tail"), "100"))
	if err != nil || tail < 0 {
		bad(w, "tail is no number: "+q.Get("tail"))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	recent := a.opts.Journal.Recent(tail)
	after := uint64(0)
	if q.Get("after") != "" {
		if after, err = strconv.ParseUint(q.Get("after"), 10, 64); err != nil {
			bad(w, "after is no sequence number: "+q.Get("after"))
			return
		}
		recent = nil
	}
	for _, e := range recent {
		after = e.Seq
		if enc.Encode(e) != nil {
			return // the client is gone
		}
	}
	if q.Get("follow") == "" && q.Get("after") == "" {
		return
	}
	flusher := http.NewResponseController(w)
	_ = flusher.Flush() // of no consequence if it is not supported
	for e := range a.opts.Journal.Subscribe(r.Context(), after) {
		if enc.Encode(e) != nil || flusher.Flush() != nil {
			return
		}
	}
}

// logs gives the gateway's output as text. ?tail=N begins N lines back,
// ?follow=1 goes on with what is to come. Secrets are redacted.
func (a *API) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	tail, err := strconv.Atoi(orDefault(q.Get("tail"), "100"))
	if err != nil || tail < 0 {
		bad(w, "tail is no number: "+q.Get("tail"))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if q.Get("follow") == "" {
		lines, err := logfile.Tail(a.opts.LogPath, tail)
		if err != nil {
			failed(w, err)
			return
		}
		for _, line := range lines {
			if _, err := io.WriteString(w, telemetry.Redact(line)+"\n"); err != nil {
				return
			}
		}
		return
	}
	out := &redactingFlusher{w: w, flush: http.NewResponseController(w).Flush}
	if err := logfile.Follow(r.Context(), a.opts.LogPath, tail, out); err != nil && r.Context().Err() == nil {
		a.opts.Logger.Warn("the gateway's output can no longer be followed", "error", err)
	}
}

// redactingFlusher redacts whole lines and hands them on at once.
type redactingFlusher struct {
	w     io.Writer
	flush func() error
	rest  []byte
}

func (f *redactingFlusher) Write(b []byte) (int, error) {
	f.rest = append(f.rest, b...)
	whole := lastLineEnd(f.rest)
	if whole == 0 {
		return len(b), nil
	}
	if _, err := io.WriteString(f.w, telemetry.Redact(string(f.rest[:whole]))); err != nil {
		return 0, err
	}
	f.rest = append(f.rest[:0], f.rest[whole:]...)
	return len(b), f.flush()
}

// longestLine is how much of a line without an end is waited for.
const longestLine = 64 << 10

func lastLineEnd(b []byte) int {
	for i := len(b); i > 0; i-- {
		if b[i-1] == '\n' {
			return i
		}
	}
	if len(b) > longestLine {
		return len(b)
	}
	return 0
}
