package provider

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the proxy's, for Prometheus: of this process, while the Ledger is of
// all days.
type metrics struct {
	requests  *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	firstByte *prometheus.HistogramVec
	inflight  atomic.Int64
	running   prometheus.GaugeFunc
}

// firstByteBuckets are in seconds: from a cache's answer to a long thought.
var firstByteBuckets = []float64{.05, .1, .25, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600}

func newMetrics() *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "creel_provider_requests_total",
			Help: "Requests to model providers that ended, by provider, model and outcome: ok, or the class of the error."}, []string{"provider", "model", "outcome"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "creel_provider_tokens_total",
			Help: "Tokens that model providers told of, by provider, model and direction: input or output."}, []string{"provider", "model", "direction"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "creel_provider_refusals_total",
			Help: "Requests for model providers that were refused before anything was known of them, by error code."}, []string{"code"}),
		firstByte: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "creel_provider_first_byte_seconds",
			Help: "From the arrival of a request to the first byte of a model provider's answer, by provider.", Buckets: firstByteBuckets}, []string{"provider"}),
	}
	m.running = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "creel_provider_inflight_requests", Help: "Requests to model providers under way now."},
		func() float64 { return float64(m.inflight.Load()) })
	return m
}

// Collectors are the proxy's metrics.
func (p *Proxy) Collectors() []prometheus.Collector {
	m := p.metrics
	return []prometheus.Collector{m.requests, m.tokens, m.refusals, m.firstByte, m.running}
}

func (m *metrics) refused(code string) { m.refusals.WithLabelValues(code).Inc() }

// ended counts a call that has ended; class is empty if it went well.
func (m *metrics) ended(u ModelUsage, class string) {
	outcome := class
	if outcome == "" {
		outcome = "ok"
	}
	m.requests.WithLabelValues(u.Provider, u.Model, outcome).Inc()
	if u.Tokens() > 0 {
		m.tokens.WithLabelValues(u.Provider, u.Model, "input").Add(float64(u.InputTokens))
		m.tokens.WithLabelValues(u.Provider, u.Model, "output").Add(float64(u.OutputTokens))
	}
	if u.FirstByte > 0 {
		m.firstByte.WithLabelValues(u.Provider).Observe(u.FirstByte.Seconds())
	}
}
