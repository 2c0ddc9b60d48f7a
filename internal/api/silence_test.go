package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlined takes note of deadlines.
type deadlined struct {
	*httptest.ResponseRecorder
	now   time.Time   // the deadline that is set; zero: none
	wrote []time.Time // those under which something was written or flushed
}

func (d *deadlined) SetWriteDeadline(t time.Time) error { d.now = t; return nil }
func (d *deadlined) WriteString(s string) (int, error) {
	d.wrote = append(d.wrote, d.now)
	return d.ResponseRecorder.WriteString(s)
}

// TestSilentStream: what is written to a stream has a deadline, and the silence after it
// has none, which would end a stream over HTTP/2.
func TestSilentStream(t *testing.T) {
	for _, media := range []string{mediaSSE, mediaNDJSON, mediaText} {
		d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		out := newWriter(http.ResponseWriter(d), media)
		if err := out.hello(); err != nil || !d.now.IsZero() {
			t.Errorf("%s: after its head %v, %v", media, d.now, err)
		}
		for _, write := range []func() error{func() error { return out.write(item{data: "x"}) }, out.flush, out.beat} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		if len(d.wrote) == 0 || !d.now.IsZero() {
			t.Errorf("%s: %d writes, and %v is left", media, len(d.wrote), d.now)
		}
		for _, until := range d.wrote {
			if until.IsZero() {
				t.Errorf("%s: something is written without a deadline", media)
			}
		}
	}
}
