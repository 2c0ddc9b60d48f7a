package ui

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"creel/internal/auth"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/problem"
)

// A stream of server-sent events (HTML Living Standard §9.2) keeps one page up to
// date. Its events:
//
//	patch   {"regions": {NAME: HTML}, "title": …, "announce": …}
//	log     {"lines": [{"level", "text"}], "reset": true if they are the first}
//	over    the page is to be loaded again
//
// A stream renders the page's regions again whenever something has happened, and
// at least each liveEvery, and sends those that have changed.
const (
	liveEvery  = 2 * time.Second
	liveOften  = 500 * time.Millisecond // while something makes progress
	livePause  = 150 * time.Millisecond // between two renderings, at the least
	liveBeat   = 20 * time.Second       // of a comment that keeps proxies from closing it
	liveLength = 15 * time.Minute       // then the browser opens it anew, and passes the gate anew
	liveWrite  = 15 * time.Second       // for a client that does not read
)

// patch is the data of an event.
type patch struct {
	Regions  map[string]string `json:"regions,omitempty"`
	Title    string            `json:"title,omitempty"`
	Announce string            `json:"announce,omitempty"` // to be read out
}

// stream is one page that is kept up to date.
type stream struct {
	u    *UI
	view view
	r    *http.Request
	w    http.ResponseWriter
	ctl  *http.ResponseController

	sent    map[string]uint64 // hash of each region as it was sent last
	state   gateway.State     // as it was announced last
	pending []string          // devices that were announced, by id
	begun   bool
}

func (u *UI) live(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(u.views(), func(v view) bool { return v.name == r.PathValue("view") && !v.still })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	select {
	case u.streams <- struct{}{}:
		defer func() { <-u.streams }()
	default:
		d := problem.Document{Status: http.StatusServiceUnavailable, Code: "too_many_streams", Title: "Too many pages are open", Detail: strconv.Itoa(maxStreams) + " pages are kept up to date already", RetryAfter: 10 * time.Second}
		d.Write(w)
		return
	}
	ctx, cancel := context.WithTimeout(withPatience(r.Context(), livePatience), liveLength)
	defer cancel()
	defer context.AfterFunc(u.life, cancel)()
	s := &stream{u: u, view: u.views()[i], r: r.WithContext(ctx), w: w, ctl: http.NewResponseController(w), sent: map[string]uint64{}}
	h := w.Header()
	secure(h)
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	w.WriteHeader(http.StatusOK)
	if s.flush() != nil {
		return
	}
	s.run(ctx)
}

// run sends until ctx ends or the client is gone.
func (s *stream) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	wake, lines := make(chan struct{}, 1), make(chan []logLine)
	nudge := func() {
		select {
		case wake <- struct{}{}:
		default: // it is about to look
		}
	}
	watchers.Go(func() { s.watchState(ctx, nudge) })
	watchers.Go(func() { s.watchJournal(ctx, nudge) })
	if s.view.name == "logs" && s.u.opts.Logs != nil {
		watchers.Go(func() { s.follow(ctx, lines) })
	}
	nudge()
	tick, beat := time.NewTimer(liveEvery), time.NewTicker(liveBeat)
	defer tick.Stop()
	defer beat.Stop()
	first := true
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case batch := <-lines:
			if err = s.send("log", encode(map[string]any{"lines": batch, "reset": first})); err == nil {
				first = false
				continue
			}
		case <-beat.C:
			if err = s.write(": still here\n\n"); err == nil {
				continue
			}
		case <-wake:
			err = s.render(ctx, tick)
		case <-tick.C:
			err = s.render(ctx, tick)
		}
		if err != nil {
			return // the client is gone, or no longer allowed in
		}
		pause := time.NewTimer(livePause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// watchState nudges with each change of the gateway's state.
func (s *stream) watchState(ctx context.Context, nudge func()) {
	seen := s.u.opts.Supervisor.Status()
	for {
		st, err := s.u.opts.Supervisor.WaitFor(ctx, func(st gateway.Status) bool {
			return st.State != seen.State || st.Generation != seen.Generation || st.Reason != seen.Reason
		})
		if err != nil || ctx.Err() != nil {
			return
		}
		seen = st
		nudge()
	}
}

// watchJournal nudges with each event.
func (s *stream) watchJournal(ctx context.Context, nudge func()) {
	after := uint64(0)
	for _, e := range s.u.opts.Journal.Recent(1) {
		after = e.Seq
	}
	for e := range s.u.opts.Journal.Subscribe(ctx, after) {
		switch e.Kind {
		case event.SnapshotTaken, event.SnapshotsRemoved, event.SnapshotShrunk, event.SnapshotDamaged, event.Restored, event.RestoreFailed, event.RestoreUndone:
			if s.u.snapshots != nil {
				s.u.snapshots.forget()
			}
		case event.DeviceApproved, event.DeviceRejected, event.DeviceRevoked:
			if s.u.devices != nil {
				s.u.devices.forget()
			}
		}
		nudge()
	}
}

// follow hands on the gateway's output.
func (s *stream) follow(ctx context.Context, lines chan<- []logLine) {
	out := &lineSplitter{emit: func(batch []logLine) error {
		select {
		case lines <- batch:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	if err := s.u.opts.Logs.Follow(ctx, shownLines, out); err != nil && ctx.Err() == nil {
		s.u.log.Warn("the gateway's output can no longer be followed", "error", err)
	}
}

// render sends what has changed, and says when to look again.
func (s *stream) render(ctx context.Context, tick *time.Timer) error {
	if !s.allowed() {
		// The error is no matter: it ends either way.
		_ = s.send("over", []byte(`{}`))
		return context.Canceled
	}
	data, err := s.view.data(s.u, s.r)
	if err != nil {
		_ = s.send("over", []byte(`{}`))
		return err
	}
	f := s.u.frameOf(s.r, s.view, data)
	p := patch{Regions: map[string]string{}}
	t := pageTemplates(s.view.name)
	for _, name := range append([]string{"pill", "menu"}, s.view.regions...) {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name, f); err != nil {
			return fmt.Errorf("cannot make a part of the page %s: %w", s.view.name, err)
		}
		sum := fnv.New64a()
		_, _ = sum.Write(b.Bytes()) // a hash takes all
		if have, ok := s.sent[name]; !ok || have != sum.Sum64() {
			p.Regions[name], s.sent[name] = b.String(), sum.Sum64()
		}
	}
	p.Announce = s.news(ctx)
	wait := liveEvery
	if len(progressNow(data)) > 0 {
		wait = liveOften
	}
	tick.Reset(wait)
	if len(p.Regions) == 0 && p.Announce == "" {
		return nil
	}
	p.Title = f.DocumentTitle()
	return s.send("patch", encode(p))
}

// allowed tells whether a session that opened the stream is still there: what was
// revoked sees no more than the present rendering.
func (s *stream) allowed() bool {
	who := auth.From(s.r.Context())
	if who.Kind != auth.KindSession || who.Session == "" || s.u.opts.Identity == nil {
		return true
	}
	return slices.ContainsFunc(s.u.opts.Identity.Sessions(), func(x auth.Session) bool { return x.ID == who.Session })
}

// news is what a person who does not see the page is told: another state, and
// devices that ask. What was so when the page was opened is on the page.
func (s *stream) news(ctx context.Context) string {
	st := s.u.opts.Supervisor.Status()
	list, _ := s.u.deviceList(ctx) // the page says what is wrong with it
	text := ""
	if s.begun && st.State != s.state {
		text = "Gateway: " + pillOf(st).Word + "."
	}
	var ids []string
	for _, d := range pendingOf(list) {
		ids = append(ids, d.ID)
		if s.begun && !slices.Contains(s.pending, d.ID) {
			text += " " + d.Title() + " asks to pair."
		}
	}
	s.state, s.pending, s.begun = st.State, ids, true
	return text
}

// progressNow is what a page shows that makes progress.
func progressNow(data any) []progress {
	switch p := data.(type) {
	case jobPage:
		return p.Doing
	case snapshotsPage:
		return p.Doing
	case overviewPage:
		return p.Doing
	}
	return nil
}

func (s *stream) send(name string, data []byte) error {
	return s.write("event: " + name + "\ndata: " + string(data) + "\n\n") // JSON has no line breaks
}

func (s *stream) write(text string) error {
	// A client that does not read is cut off; where that cannot be set, the
	// server's own limits count.
	_ = s.ctl.SetWriteDeadline(time.Now().Add(liveWrite))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.flush()
}

// flush leaves no deadline behind: over HTTP/2 one that passes ends the stream even
// while nothing is written.
func (s *stream) flush() error {
	defer func() { _ = s.ctl.SetWriteDeadline(time.Time{}) }() // as in write
	return s.ctl.Flush()
}
