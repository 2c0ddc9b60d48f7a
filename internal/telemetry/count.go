package telemetry

import dto "github.com/prometheus/client_model/go"

// Requests counts the requests that have ended, and of these the ones that creel
// could not bring to an answer. It costs requests nothing. On a nil *Metrics both
// are 0.
func (m *Metrics) Requests() (all, failed uint64) {
	if m == nil {
		return 0, 0
	}
	for o := range outcomes {
		var value dto.Metric
		if err := m.requests[o].Write(&value); err != nil { // of a plain counter there is none
			continue
		}
		n := uint64(value.GetCounter().GetValue())
		all += n
		if o == Failed {
			failed = n
		}
	}
	return all, failed
}
