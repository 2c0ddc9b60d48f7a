package telemetry

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Register adds metrics of a package that counts for itself. On a nil *Metrics it
// does nothing.
func (m *Metrics) Register(list ...prometheus.Collector) error {
	if m == nil {
		return nil
	}
	var errs []error
	for _, c := range list {
		errs = append(errs, m.registry.Register(c))
	}
	return errors.Join(errs...)
}
