package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Names of a Go program's counters, as Prometheus client libraries give them.
const (
	metricMallocs    = "go_memstats_mallocs_total"
	metricAllocBytes = "go_memstats_alloc_bytes_total"
	metricHeapInUse  = "go_memstats_heap_inuse_bytes"
	metricStackInUse = "go_memstats_stack_inuse_bytes"
)

// counters are what a Go program says of its own memory.
type counters struct {
	Mallocs    float64 // allocations since its start
	AllocBytes float64 // their bytes
	HeapInUse  float64 // bytes of spans with objects in them
	StackInUse float64 // bytes of goroutines' stacks
}

// counters asks a contestant for its counters.
func (s *standing) counters(ctx context.Context) (counters, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+s.metrics, nil)
	if err != nil {
		return counters{}, fmt.Errorf("cannot ask %s for its counters: %w", s.name, err)
	}
	req.Close = true // no connection is to be left that counts as one of the load's
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return counters{}, fmt.Errorf("cannot ask %s for its counters: %w", s.name, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return counters{}, fmt.Errorf("cannot read the counters of %s: %w", s.name, err)
	}
	c, err := parseCounters(string(b))
	if err != nil {
		return counters{}, fmt.Errorf("cannot read the counters of %s (%s): %w", s.name, resp.Status, err)
	}
	return c, nil
}

// parseCounters picks the counters out of the text format of Prometheus.
func parseCounters(text string) (counters, error) {
	var c counters
	wanted := map[string]*float64{
		metricMallocs: &c.Mallocs, metricAllocBytes: &c.AllocBytes,
		metricHeapInUse: &c.HeapInUse, metricStackInUse: &c.StackInUse,
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		to := wanted[name]
		if to == nil {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return counters{}, fmt.Errorf("cannot read the line %q: %w", strings.TrimSpace(line), err)
		}
		*to = v
		delete(wanted, name)
	}
	for name := range wanted {
		return counters{}, fmt.Errorf("there is no line for %s", name)
	}
	return c, nil
}
