package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// snapshots are the metrics of a gateway's state.
type snapshots struct {
	last, files, bytes atomic.Int64
	stored             prometheus.Counter
	taken              prometheus.Counter
	failed             labelled
	seconds, frozen    prometheus.Histogram
	restores           prometheus.Counter
	restoresFailed     prometheus.Counter
	restoreSeconds     prometheus.Histogram
}

// frozenBuckets are in seconds: a gateway is held still for milliseconds.
var frozenBuckets = []float64{.001, .002, .005, .01, .015, .025, .05, .1, .25, .5, 1, 2}

func (m *Metrics) registerSnapshots() {
	s := &m.snapshots
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "creel_snapshots_failed_total",
		Help: "Snapshots that could not be taken, by the stage at which it failed."}, []string{"stage"})
	s.failed.vec = failed
	s.taken = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "creel_snapshots_taken_total", Help: "Snapshots that were taken."})
	s.stored = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "creel_snapshot_stored_bytes_total", Help: "Bytes that snapshots have added to the store, compressed."})
	s.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "creel_snapshot_seconds", Help: "How long a snapshot took, from the first copy to the check of what was stored.", Buckets: startBuckets})
	s.frozen = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "creel_snapshot_frozen_seconds", Help: "How long the gateway was held still for a snapshot.", Buckets: frozenBuckets})
	s.restores = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "creel_restores_total", Help: "States that were restored."})
	s.restoresFailed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "creel_restores_failed_total", Help: "Restores that failed or were taken back."})
	s.restoreSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "creel_restore_seconds", Help: "How long a restore took until the state was in place.", Buckets: startBuckets})
	m.registry.MustRegister(failed, s.taken, s.stored, s.seconds, s.frozen, s.restores, s.restoresFailed, s.restoreSeconds,
		gauge("creel_snapshot_last_timestamp_seconds", "When the newest snapshot was taken, in seconds since 1970; 0: there is none.", &s.last),
		gauge("creel_snapshot_files", "Files in the newest snapshot.", &s.files),
		gauge("creel_snapshot_bytes", "Bytes of the files in the newest snapshot.", &s.bytes))
}

// SnapshotTaken counts a snapshot. frozen is 0 if the gateway did not run.
func (m *Metrics) SnapshotTaken(at time.Time, frozen, took time.Duration, files, bytes, stored int64) {
	if m == nil {
		return
	}
	s := &m.snapshots
	m.SnapshotKnown(at, files, bytes)
	s.taken.Inc()
	s.stored.Add(float64(stored))
	s.seconds.Observe(took.Seconds())
	if frozen > 0 {
		s.frozen.Observe(frozen.Seconds())
	}
}

// SnapshotKnown sets which is the newest snapshot.
func (m *Metrics) SnapshotKnown(at time.Time, files, bytes int64) {
	if m == nil {
		return
	}
	m.snapshots.last.Store(at.Unix())
	m.snapshots.files.Store(files)
	m.snapshots.bytes.Store(bytes)
}

// SnapshotFailed counts a snapshot that could not be taken, by a stable word for
// the stage.
func (m *Metrics) SnapshotFailed(stage string) {
	if m != nil {
		m.snapshots.failed.inc(stage)
	}
}

// Restored counts a state that was put in place.
func (m *Metrics) Restored(took time.Duration) {
	if m != nil {
		m.snapshots.restores.Inc()
		m.snapshots.restoreSeconds.Observe(took.Seconds())
	}
}

// RestoreFailed counts a restore that failed or was taken back.
func (m *Metrics) RestoreFailed() {
	if m != nil {
		m.snapshots.restoresFailed.Inc()
	}
}
