package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// MaxLabelValues is how many values a label may take before further ones are
// counted as "other".
const MaxLabelValues = 64

// labelled is a counter with one label whose values are stable words that
// other packages define. Counting a word that was seen before takes no lock
// and allocates nothing.
type labelled struct {
	vec      *prometheus.CounterVec
	mu       sync.Mutex                                    // held while children is replaced
	children atomic.Pointer[map[string]prometheus.Counter] // never changed in place
}

func (l *labelled) inc(value string) {
	if known := l.children.Load(); known != nil {
		if c, ok := (*known)[value]; ok {
			c.Inc()
			return
		}
	}
	l.add(value).Inc()
}

func (l *labelled) add(value string) prometheus.Counter {
	l.mu.Lock()
	defer l.mu.Unlock()
	grown := make(map[string]prometheus.Counter)
	if known := l.children.Load(); known != nil {
		if c, ok := (*known)[value]; ok {
			return c
		}
		maps.Copy(grown, *known)
	}
	if len(grown) >= MaxLabelValues || !stableWord(value) {
		return l.vec.WithLabelValues("other")
	}
	c := l.vec.WithLabelValues(value)
	grown[value] = c
	l.children.Store(&grown)
	return c
}

// stableWord tells whether s can be one: a-z, 0-9 and "_", at most 48
// characters.
func stableWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isDigit(c) && c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 48
}
