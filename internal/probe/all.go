package probe

import "context"

// All holds if each of its probes does. They are checked in order, up to the
// first that does not hold; put the cheap ones first.
type All []Probe

// Check implements Probe.
func (p All) Check(ctx context.Context, t Target) error {
	for _, one := range p {
		if err := one.Check(ctx, t); err != nil {
			return err
		}
	}
	return nil
}
