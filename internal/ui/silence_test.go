package ui

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlined takes note of deadlines.
type deadlined struct {
	*httptest.ResponseRecorder
	now, wrote time.Time // the deadline that is set, and that of the last write; zero: none
}

func (d *deadlined) SetWriteDeadline(t time.Time) error { d.now = t; return nil }
func (d *deadlined) Write(b []byte) (int, error) {
	d.wrote = d.now
	return d.ResponseRecorder.Write(b)
}

// TestSilentStream: what is written to a stream has a deadline, and the silence after it
// has none, which would end a stream over HTTP/2: a page on which nothing changes is
// silent for longer.
func TestSilentStream(t *testing.T) {
	d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
	s := &stream{w: d, ctl: http.NewResponseController(d)}
	if err := s.send("patch", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if d.wrote.IsZero() || !d.now.IsZero() {
		t.Errorf("it is written under %v, and %v is left", d.wrote, d.now)
	}
}
