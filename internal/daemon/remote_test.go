package daemon

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"creel/internal/api"
	"creel/internal/gateway"
)

// successor is a creel that has taken over, as far as one that drains asks it.
type successor struct {
	dir    string
	asked  chan string   // gets the query of each question for a lease
	answer chan int      // what to answer
	cut    chan struct{} // ends an answer that goes on
	ends   chan struct{} // has one say that this creel ends
	over   chan struct{} // gets a value when one has ended
}

func newSuccessor(t *testing.T) *successor {
	t.Helper()
	dir, err := os.MkdirTemp("", "creel") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &successor{dir: dir, asked: make(chan string, 10), answer: make(chan int, 10), cut: make(chan struct{}), ends: make(chan struct{}), over: make(chan struct{}, 10)}
	l, err := api.ListenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_creel/api/v1/place", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"generation": 3, "address": "127.0.0.1:1"}`))
	})
	mux.HandleFunc("GET /_creel/api/v1/place/lease", func(w http.ResponseWriter, r *http.Request) {
		s.asked <- r.URL.RawQuery
		status := http.StatusOK
		select {
		case status = <-s.answer:
		case <-r.Context().Done():
		}
		w.WriteHeader(status)
		place := []byte(`{"generation": 3, "address": "127.0.0.1:1"}`)
		_, _ = w.Write(place)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-s.cut:
		case <-s.ends:
			_, _ = w.Write(place)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case <-r.Context().Done():
		}
		s.over <- struct{}{}
	})
	mux.HandleFunc("GET /_creel/api/v1/place/end", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-served })
	return s
}

// TestRemoteRefused: an instance that refuses connections is not tried again without
// a pause. The successor may take it for ready for a while yet, and those who drain
// must not keep both creels busy with asking.
func TestRemoteRefused(t *testing.T) {
	s := newSuccessor(t)
	s.answer <- http.StatusOK
	s.answer <- http.StatusNotFound // it is older: its instances are used without a word
	r := newRemote(s.dir)
	t.Cleanup(r.close)
	acquire := func(until time.Duration) (gateway.Lease, error) {
		return r.Acquire(t.Context(), gateway.Ask{Until: time.Now().Add(until)})
	}
	l, err := acquire(patience)
	if err != nil || l.Generation() != 3 || l.Addr() != "127.0.0.1:1" {
		t.Fatalf("%+v, %v", l, err)
	}
	began := time.Now()
	l.Unreachable()
	l.Release()
	again, err := acquire(patience)
	if err != nil || again.Generation() != 3 {
		t.Fatalf("%+v, %v", again, err)
	}
	defer again.Release()
	if took := time.Since(began); took < againAfter {
		t.Errorf("it is tried again after %v", took)
	}
	again.Unreachable()
	if _, err := acquire(0); err == nil {
		t.Error("a lease is had after the time for it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Acquire(ctx, gateway.Ask{Until: time.Now().Add(patience)}); err == nil {
		t.Error("a lease is had by somebody who is gone")
	}
}
