package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestParseCounters(t *testing.T) {
	const text = `# HELP go_memstats_mallocs_total Total number of heap objects allocated.
# TYPE go_memstats_mallocs_total counter
go_memstats_mallocs_total 26311
go_memstats_alloc_bytes 1.552296e+06
go_memstats_alloc_bytes_total 9.738608e+06
go_memstats_heap_inuse_bytes 2.78528e+06
go_memstats_stack_inuse_bytes 622592
`
	got, err := parseCounters(text)
	want := counters{Mallocs: 26311, AllocBytes: 9738608, HeapInUse: 2785280, StackInUse: 622592}
	if err != nil || got != want {
		t.Errorf("parseCounters = %+v, %v; want %+v", got, err, want)
	}
	for name, text := range map[string]string{
		"a counter is missing": strings.Replace(text, "\ngo_memstats_mallocs_total", "\nother", 1),
		"not a number":         strings.Replace(text, "26311", "many", 1),
		"another page":         "<html>",
	} {
		if got, err := parseCounters(text); err == nil {
			t.Errorf("%s: parseCounters = %+v, want an error", name, got)
		}
	}
}

// What the reverse proxy says of itself is read by the same parser.
func TestReverseProxyCounters(t *testing.T) {
	s := httptest.NewServer(newReverseProxy("127.0.0.1:1", false))
	defer s.Close()
	up := &standing{name: "it", addr: s.Listener.Addr().String(), metrics: ownMetrics}
	first, err := up.counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := up.counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second.Mallocs <= first.Mallocs || second.AllocBytes <= first.AllocBytes || second.HeapInUse <= 0 || second.StackInUse <= 0 {
		t.Errorf("counters went from %+v to %+v", first, second)
	}
}
