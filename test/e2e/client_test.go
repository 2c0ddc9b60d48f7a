//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// requestLimit is how long the most patient request waits.
const requestLimit = 2 * time.Minute

// answer is what a client got.
type answer struct {
	path   string
	status int
	header http.Header
	body   string
	err    error
	took   time.Duration
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("%s: %v after %v", a.path, a.err, a.took)
	}
	return fmt.Sprintf("%s: %d after %v: %.300s", a.path, a.status, a.took, a.body)
}

// get asks once, as a plain client does: a connection of its own, nothing sent
// twice, no redirect followed.
func (f *folder) get(ctx context.Context, path string) answer {
	return f.do(ctx, http.MethodGet, path, "", nil)
}

// asks is get of one path.
func (f *folder) asks(path string) func(context.Context) answer {
	return func(ctx context.Context) answer { return f.get(ctx, path) }
}

func (f *folder) do(ctx context.Context, method, path, body string, header http.Header) answer {
	began := time.Now()
	a := answer{path: path}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, f.url(path), strings.NewReader(body))
	if err != nil {
		a.err = err
		return a
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if a.err = f.door.show(ctx, f, r.Header, path); a.err != nil {
		return a
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	if err == nil {
		defer res.Body.Close()
		var b []byte
		b, err = io.ReadAll(res.Body)
		a.status, a.header, a.body = res.StatusCode, res.Header, string(b)
	}
	a.err, a.took = err, time.Since(began)
	return a
}

// load is clients that ask one after the other, without a pause.
type load struct {
	stop    context.CancelFunc
	clients sync.WaitGroup
	answers []atomic.Int64 // per client
}

// begin starts one client for each way of asking, and returns when each has got
// an answer. Every answer has to be right.
func begin(t *testing.T, ask ...func(context.Context) answer) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop, answers: make([]atomic.Int64, len(ask))}
	for i, ask := range ask {
		l.clients.Go(func() {
			for ctx.Err() == nil {
				a := ask(t.Context())
				if !isRight(a) {
					t.Errorf("under load: %v", a)
					return
				}
				l.answers[i].Add(1)
			}
		})
	}
	eventually(t, momentLimit, "every client has got an answer", func() (bool, string) {
		return !slices.Contains(l.count(), 0), fmt.Sprint(l.count())
	})
	return l
}

// count gives how many answers each client has got.
func (l *load) count() []int64 {
	counts := make([]int64, len(l.answers))
	for i := range l.answers {
		counts[i] = l.answers[i].Load()
	}
	return counts
}

// end lets each client get its last answer.
func (l *load) end() {
	l.stop()
	l.clients.Wait()
}

// isRight tells whether an answer is the gateway's own.
func isRight(a answer) bool {
	switch a.path {
	case "/":
		return isControlUI(a)
	case "/healthz":
		return isHealthz(a)
	default:
		return a.err == nil && a.status == http.StatusOK
	}
}

// isControlUI tells whether an answer is OpenClaw's page.
func isControlUI(a answer) bool {
	return a.err == nil && a.status == http.StatusOK && strings.Contains(a.body, "<title>OpenClaw")
}

// isHealthz tells whether an answer is OpenClaw's sign of life.
func isHealthz(a answer) bool {
	return a.err == nil && a.status == http.StatusOK && strings.Contains(a.body, `"ok":true`)
}

// problem is an RFC 9457 document of creel's.
type problem struct {
	Status     int
	Code       string
	Title      string
	Detail     string
	Hint       string
	Gateway    string
	Generation uint64
}

// wantReady checks the two pages that tell whether the gateway is ready.
func (f *folder) wantReady(t *testing.T) {
	t.Helper()
	if a := f.get(t.Context(), "/_creel/readyz"); a.err != nil || a.status != http.StatusOK {
		t.Errorf("creel's readiness: %v", a)
	}
	if a := f.get(t.Context(), "/"); !isControlUI(a) {
		t.Errorf("the Control UI: %v", a)
	}
}
