package telemetry

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

var goVersion = runtime.Version()

// scrape returns the lines of the metrics page.
func scrape(t *testing.T, m *Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return strings.Split(strings.TrimSpace(w.Body.String()), "\n")
}

func used() *Metrics {
	m := NewMetrics(MetricsOptions{Version: "1.2.3", Revision: "abc", States: []string{"stopped", "starting", "ready"}})
	m.Request(Forwarded)
	m.Request(Replayed)
	m.Request(Replayed)
	m.Request(Outcome(99))
	m.Request(Outcome(-1))
	m.RequestError("crash_loop")
	m.RequestError("crash_loop")
	m.Held(+3)
	m.Held(-1)
	m.HoldSeconds(3 * time.Millisecond)
	m.Inflight(+4)
	m.WebSockets(+5)
	m.Replay()
	m.ReplayBodyBytes(+1024)
	m.ReplayBodyBytes(-24)
	m.NotReplayable("not_idempotent")
	m.Restart("oom")
	m.Suspicion("silent")
	m.Cleared("silent")
	m.StartSeconds(15 * time.Second)
	m.Generation(7)
	m.State("starting")
	m.State("ready")
	m.JournalLost(6)
	m.SnapshotTaken(time.Unix(1795000000, 0), 8*time.Millisecond, 300*time.Millisecond, 100, 5000, 700)
	m.SnapshotFailed("save")
	m.Restored(2 * time.Second)
	m.RestoreFailed()
	return m
}

// The names, labels, types and help texts are an interface that dashboards
// rely on.
func TestMetricsGolden(t *testing.T) {
	var got []string
	for _, line := range scrape(t, used()) {
		if strings.Contains(line, "creel_") {
			got = append(got, strings.ReplaceAll(line, goVersion, "GO"))
		}
	}
	page := strings.Join(got, "\n") + "\n"
	path := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if page != string(want) {
		t.Errorf("the metrics differ from %s (rewrite it with -update if that is meant); got:\n%s", path, page)
	}
}

func TestMetricsHaveTheProcessToo(t *testing.T) {
	page := strings.Join(scrape(t, NewMetrics(MetricsOptions{})), "\n")
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if !strings.Contains(page, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestLabelValuesAreBounded(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	for i := range MaxLabelValues + 10 {
		m.RequestError("code_" + strconv.Itoa(i))
	}
	m.RequestError("Not A Word")
	m.RequestError("code_0")
	lines := scrape(t, m)
	count := 0
	for _, l := range lines {
		if strings.HasPrefix(l, "creel_request_errors_total{") {
			count++
		}
	}
	if count != MaxLabelValues+1 {
		t.Errorf("%d series, want %d", count, MaxLabelValues+1)
	}
	for _, want := range []string{
		`creel_request_errors_total{code="other"} 11`,
		`creel_request_errors_total{code="code_0"} 2`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestNilMetricsDoNothing(t *testing.T) {
	var m *Metrics
	use(m)
	m.State("ready")
	m.Generation(1)
	m.JournalLost(1)
	m.StartSeconds(time.Second)
	m.Restart("oom")
	m.Suspicion("silent")
	m.Cleared("silent")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

// use is what a request may touch.
func use(m *Metrics) {
	m.Request(Forwarded)
	m.RequestError("crash_loop")
	m.NotReplayable("not_idempotent")
	m.Held(+1)
	m.HoldSeconds(time.Millisecond)
	m.Held(-1)
	m.Inflight(+1)
	m.WebSockets(+1)
	m.Replay()
	m.ReplayBodyBytes(1)
}

func TestRequestsAllocateNothing(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	use(m)
	if n := testing.AllocsPerRun(100, func() { use(m) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOutcomeNames(t *testing.T) {
	got := fmt.Sprint(Forwarded, Replayed, Failed, Refused, Canceled, Outcome(9))
	if got != "forwarded replayed failed refused canceled unknown" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkRequestMetrics(b *testing.B) {
	m := NewMetrics(MetricsOptions{})
	b.ReportAllocs()
	for b.Loop() {
		m.Inflight(+1)
		m.Request(Forwarded)
		m.Inflight(-1)
	}
}

func BenchmarkRequestID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		RequestID()
	}
}
