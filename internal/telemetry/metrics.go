package telemetry

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Outcome is how a client's request ended.
type Outcome int

// The outcomes. Each request has exactly one.
const (
	Forwarded Outcome = iota // the gateway's answer was passed on, first try
	Replayed                 // the gateway's answer was passed on, after a replay
	Failed                   // creel answered in the gateway's place: 502 or 504
	Refused                  // creel answered before the gateway saw it: 4xx or 503
	Canceled                 // the client went away
	outcomes
)

var outcomeNames = [outcomes]string{"forwarded", "replayed", "failed", "refused", "canceled"}

// String is the value of the label "outcome".
func (o Outcome) String() string {
	if o < 0 || o >= outcomes {
		return "unknown"
	}
	return outcomeNames[o]
}

// MetricsOptions is what NewMetrics needs to know.
type MetricsOptions struct {
	Version  string   // of creel
	Revision string   // commit it was built from; may be empty
	States   []string // all states of a gateway; each has a series from the start
	// Conditions are all that may be wrong; likewise.
	Conditions []string
}

// Metrics counts what creel does, for Prometheus, in a registry of its own.
// Its methods may be called from any goroutine. On a nil *Metrics they do
// nothing.
type Metrics struct {
	registry *prometheus.Registry

	requests      [outcomes]prometheus.Counter
	replays       prometheus.Counter
	journalLost   prometheus.Counter
	holdSeconds   prometheus.Histogram
	startSeconds  prometheus.Histogram
	errors        labelled
	notReplayable labelled
	restarts      labelled
	suspicions    labelled
	cleared       labelled

	// Gauges that requests move are plain integers, read when scraped: the
	// library's gauge is a float that is changed by compare-and-swap.
	held, inflight, webSockets, replayBytes atomic.Int64
	generation                              atomic.Uint64

	snapshots snapshots
	degraded  *prometheus.GaugeVec

	mu     sync.Mutex // held while the state changes
	states *prometheus.GaugeVec
	state  string
}

// Buckets in seconds. Holds end a few milliseconds after a gateway is ready or
// take as long as it boots; starts are boots.
var (
	holdBuckets  = []float64{.001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2, 5, 10, 15, 20, 30, 60, 120}
	startBuckets = []float64{.02, .05, .1, .25, .5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300}
)

// NewMetrics returns metrics with every series that can be known at zero.
func NewMetrics(opts MetricsOptions) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registerRequests()
	m.registerGateway(opts.States)
	m.registerSnapshots()
	m.journalLost = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "creel_journal_lost_events_total",
		Help: "Events that could not be written to the journal."})
	m.degraded = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "creel_degraded",
		Help: "1 while something keeps creel from doing all of its work, by condition."}, []string{"condition"})
	for _, c := range opts.Conditions {
		m.degraded.WithLabelValues(c)
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "creel_build_info",
		Help: "Always 1; the labels say what this creel was built from."},
		[]string{"version", "revision", "go_version"})
	build.WithLabelValues(opts.Version, opts.Revision, runtime.Version()).Set(1)
	m.registry.MustRegister(m.journalLost, m.degraded, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) registerRequests() {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "creel_requests_total",
		Help: "Requests that ended, by outcome."}, []string{"outcome"})
	for o := range outcomes {
		m.requests[o] = requests.WithLabelValues(o.String())
	}
	errors := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "creel_request_errors_total",
		Help: "Requests that creel answered with an error of its own, by error code."}, []string{"code"})
	notReplayable := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "creel_not_replayable_total",
		Help: "Requests that a crash failed because sending them again was not safe or not possible, by reason."},
		[]string{"reason"})
	m.errors.vec, m.notReplayable.vec = errors, notReplayable
	m.replays = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "creel_replays_total",
		Help: "Times that a request was sent to a gateway again."})
	m.holdSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "creel_hold_seconds",
		Help:    "How long requests that had to wait for the gateway waited.",
		Buckets: holdBuckets})
	m.registry.MustRegister(requests, errors, notReplayable, m.replays, m.holdSeconds,
		gauge("creel_held_requests", "Requests that wait for the gateway now.", &m.held),
		gauge("creel_inflight_requests", "Requests under way now, held ones included.", &m.inflight),
		gauge("creel_websockets", "WebSocket connections open now.", &m.webSockets),
		gauge("creel_replay_body_bytes", "Bytes of request bodies kept for replay now.", &m.replayBytes))
}

func (m *Metrics) registerGateway(states []string) {
	restarts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "creel_restarts_total",
		Help: "Restarts of the gateway, by cause."}, []string{"cause"})
	suspicions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "creel_suspicions_total",
		Help: "Times that a running gateway was suspected, by reason: it refused a connection, or fell silent."}, []string{"reason"})
	cleared := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "creel_suspicions_cleared_total",
		Help: "Suspicions that were false: the gateway answered again, by reason."}, []string{"reason"})
	m.restarts.vec, m.suspicions.vec, m.cleared.vec = restarts, suspicions, cleared
	m.startSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "creel_start_seconds",
		Help:    "How long the gateway took from start to ready.",
		Buckets: startBuckets})
	m.states = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "creel_gateway_state",
		Help: "1 for the state that the gateway is in, 0 for the others."}, []string{"state"})
	for _, s := range states {
		m.states.WithLabelValues(s)
	}
	generation := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "creel_generation",
		Help: "Number of the gateway's present instance; grows by one with each start."},
		func() float64 { return float64(m.generation.Load()) })
	m.registry.MustRegister(restarts, suspicions, cleared, m.startSeconds, m.states, generation)
}

func gauge(name, help string, v *atomic.Int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
		func() float64 { return float64(v.Load()) })
}

// Handler serves the metrics in the formats of Prometheus. On a nil *Metrics
// it answers 404.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	// Collecting stops the world for a moment, so scrapes are not let pile up.
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, EnableOpenMetrics: true})
}

// Request counts a request that ended. An outcome out of range is ignored.
func (m *Metrics) Request(o Outcome) {
	if m == nil || o < 0 || o >= outcomes {
		return
	}
	m.requests[o].Inc()
}

// RequestError counts an error of creel's own, by its stable code.
func (m *Metrics) RequestError(code string) {
	if m != nil {
		m.errors.inc(code)
	}
}

// Held moves the number of waiting requests: +1 when a wait begins, -1 when it
// ends.
func (m *Metrics) Held(delta int) {
	if m != nil {
		m.held.Add(int64(delta))
	}
}

// HoldSeconds records how long a request waited, when the wait has ended.
func (m *Metrics) HoldSeconds(d time.Duration) {
	if m != nil {
		m.holdSeconds.Observe(d.Seconds())
	}
}

// Inflight moves the number of requests under way.
func (m *Metrics) Inflight(delta int) {
	if m != nil {
		m.inflight.Add(int64(delta))
	}
}

// WebSockets moves the number of open WebSocket connections.
func (m *Metrics) WebSockets(delta int) {
	if m != nil {
		m.webSockets.Add(int64(delta))
	}
}

// Replay counts one sending again.
func (m *Metrics) Replay() {
	if m != nil {
		m.replays.Inc()
	}
}

// ReplayBodyBytes moves the number of bytes kept for replay.
func (m *Metrics) ReplayBodyBytes(delta int64) {
	if m != nil {
		m.replayBytes.Add(delta)
	}
}

// NotReplayable counts a request that could not be sent again, by a stable
// word for the reason.
func (m *Metrics) NotReplayable(reason string) {
	if m != nil {
		m.notReplayable.inc(reason)
	}
}

// Restart counts a restart of the gateway, by a stable word for the cause.
func (m *Metrics) Restart(cause string) {
	if m != nil {
		m.restarts.inc(cause)
	}
}

// Suspicion counts a suspicion against the running gateway, by a stable word for
// the reason.
func (m *Metrics) Suspicion(reason string) {
	if m != nil {
		m.suspicions.inc(reason)
	}
}

// Cleared counts a suspicion that was false, by the same word.
func (m *Metrics) Cleared(reason string) {
	if m != nil {
		m.cleared.inc(reason)
	}
}

// StartSeconds records how long a start took to ready.
func (m *Metrics) StartSeconds(d time.Duration) {
	if m != nil {
		m.startSeconds.Observe(d.Seconds())
	}
}

// Generation sets the number of the present instance.
func (m *Metrics) Generation(g uint64) {
	if m != nil {
		m.generation.Store(g)
	}
}

// State sets the state that the gateway is in.
func (m *Metrics) State(state string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != "" {
		m.states.WithLabelValues(m.state).Set(0)
	}
	m.state = state
	m.states.WithLabelValues(state).Set(1)
}

// Degraded sets whether a condition holds.
func (m *Metrics) Degraded(condition string, holds bool) {
	if m == nil {
		return
	}
	v := 0.0
	if holds {
		v = 1
	}
	m.degraded.WithLabelValues(condition).Set(v)
}

// JournalLost counts events that could not be written.
func (m *Metrics) JournalLost(n uint64) {
	if m != nil {
		m.journalLost.Add(float64(n))
	}
}
