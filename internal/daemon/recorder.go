package daemon

import (
	"time"

	"creel/internal/census"
	"creel/internal/proxy"
	"creel/internal/telemetry"
)

// recorder hands the proxy's measurements to the metrics.
type recorder struct {
	m      *telemetry.Metrics
	census *census.Census
	again  *replays
}

func (r recorder) Request(o proxy.Outcome) { r.m.Request(o) }
func (r recorder) Problem(code string)     { r.m.RequestError(code) }
func (r recorder) HeldFor(d time.Duration) { r.m.HoldSeconds(d) }
func (r recorder) Replay() {
	r.m.Replay()
	r.again.add()
}
func (r recorder) NotReplayable(reason string) { r.m.NotReplayable(reason) }
func (r recorder) KeptBytes(delta int64)       { r.m.ReplayBodyBytes(delta) }
func (r recorder) InFlight(delta int)          { r.m.Inflight(delta) }
func (r recorder) WebSockets(delta int) {
	r.m.WebSockets(delta)
	r.census.Add(delta)
}
