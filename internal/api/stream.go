package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"creel/internal/problem"
)

// A stream is an answer that goes on. It has one goroutine of its own, the source,
// which ends before the handler returns; whoever does not take what is written for
// streamStall is cut off, and of all callers together no more than mostStreams are
// served at once. It ends when the engine does that it tells of: whoever asks
// again, gets to the next one.
const (
	heartbeat   = 15 * time.Second // proxies cut what is silent for a minute, some for 30 seconds
	streamStall = 30 * time.Second
	mostStreams = 128
	retryAfter  = 2 * time.Second // what EventSource is told to wait before it asks again
)

// item is one piece of a stream.
type item struct {
	id    string // for Last-Event-ID; empty: none
	event string // its type; empty: "message"
	data  any    // a JSON document, or a text for text/plain
}

// source gives the items of a stream, until ctx ends or emit returns false.
type source func(ctx context.Context, emit func(item) bool)

// streams counts those that are open.
type streams struct{ open atomic.Int64 }

// admit takes a place for a stream; if there is none, it says so.
func (s *streams) admit(w http.ResponseWriter) (leave func(), ok bool) {
	if s.open.Add(1) > mostStreams {
		s.open.Add(-1)
		d := problem.Document{
			Status: http.StatusServiceUnavailable, Code: "too_many_streams", Title: "Too many streams are open",
			Detail: fmt.Sprintf("%d are", mostStreams), Hint: "Close some, or ask without a stream.", RetryAfter: 5 * time.Second,
		}
		d.Write(w)
		return nil, false
	}
	return func() { s.open.Add(-1) }, true
}

// stream answers with what a source gives, in one of the media types. With lasting
// the stream ends with the journal, too.
func (a *API) stream(w http.ResponseWriter, r *http.Request, media string, lasting bool, from source) {
	leave, ok := a.streams.admit(w)
	if !ok {
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if lasting {
		defer a.endWithJournal(ctx, cancel)()
	}
	out := newWriter(w, media)
	if r.Method == http.MethodHead {
		return
	}
	items, done := make(chan item), make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		from(ctx, func(it item) bool {
			select {
			case items <- it:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	defer func() { <-done }()
	defer cancel()
	out.pump(ctx, items, done)
}

// endWithJournal cancels when the journal is closed: this engine is not in charge
// any more. The caller calls what it returns.
func (a *API) endWithJournal(ctx context.Context, cancel context.CancelFunc) (wait func()) {
	last := a.lastEvent()
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		for range a.opts.Journal.Subscribe(ctx, last) { //nolint:revive // only its end counts
		}
		cancel()
	}()
	return func() {
		cancel()
		<-ended
	}
}

// writer writes items in a media type.
type writer struct {
	w       io.Writer
	control *http.ResponseController
	media   string
}

func newWriter(w http.ResponseWriter, media string) *writer {
	h := w.Header()
	h.Set("Content-Type", media)
	if media == mediaText {
		h.Set("Content-Type", media+"; charset=utf-8")
	}
	h.Set("X-Accel-Buffering", "no") // nginx in between would keep it back
	return &writer{w, http.NewResponseController(w), media}
}

// pump writes items until the source ends, the client does not take them, or ctx
// ends.
func (o *writer) pump(ctx context.Context, items <-chan item, done <-chan struct{}) {
	defer func() { _ = o.control.SetWriteDeadline(time.Time{}) }() // the connection may serve others
	if o.hello() != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case it := <-items:
			if o.write(it) != nil {
				return
			}
			beat.Reset(heartbeat)
			if o.flush() != nil {
				return
			}
		case <-beat.C:
			if o.beat() != nil {
				return
			}
		case <-done:
			_ = o.flush()
			return
		case <-ctx.Done():
			return
		}
	}
}

// hello sends the head at once, so that the client knows that it is connected.
func (o *writer) hello() error {
	if o.media == mediaSSE {
		if err := o.text(fmt.Sprintf("retry: %d\n\n", retryAfter.Milliseconds())); err != nil {
			return err
		}
	}
	return o.flush()
}

// beat shows that the stream lives; only server-sent events have a way to say that.
func (o *writer) beat() error {
	if o.media != mediaSSE {
		return nil
	}
	if err := o.text(": still here\n\n"); err != nil {
		return err
	}
	return o.flush()
}

func (o *writer) text(s string) error {
	_ = o.control.SetWriteDeadline(time.Now().Add(streamStall)) // where there is none, the server has its own
	_, err := io.WriteString(o.w, s)
	return err
}

func (o *writer) write(it item) error {
	if line, ok := it.data.(string); ok && o.media == mediaText {
		return o.text(line + "\n")
	}
	b, err := json.Marshal(it.data)
	if err != nil { // only values of this package's own types come here
		panic(err)
	}
	if o.media == mediaNDJSON {
		return o.text(string(b) + "\n")
	}
	var s strings.Builder // https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
	if it.id != "" {
		s.WriteString("id: " + it.id + "\n")
	}
	if it.event != "" {
		s.WriteString("event: " + it.event + "\n")
	}
	s.WriteString("data: " + string(b) + "\n\n") // JSON has no line ends of its own
	return o.text(s.String())
}

// flush hands what is written to the client, within streamStall. No deadline is left
// behind: over HTTP/2 one that passes ends the stream even while nothing is written,
// and a stream may be silent for longer.
func (o *writer) flush() error {
	err := o.control.Flush()
	_ = o.control.SetWriteDeadline(time.Time{}) // as in text
	if !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
