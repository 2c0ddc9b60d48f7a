// Package vouch makes gateway.Stillness. Go lets only packages below
// internal/gateway import it: that is how the type system says that nobody but a
// supervisor can vouch for a gateway's standing still.
package vouch

import (
	"errors"
	"sync/atomic"
)

// ErrMoving is returned for a word that nobody has given, or that was taken back.
var ErrMoving = errors.New("nobody vouches for the gateway's standing still")

// Stillness is described at gateway.Stillness.
type Stillness struct{ holds atomic.Bool }

// Give gives the word. It holds until the function is called.
func Give() (*Stillness, func()) {
	s := &Stillness{}
	s.holds.Store(true)
	return s, func() { s.holds.Store(false) }
}

// Check returns ErrMoving if the word does not hold; so it does for nil and for
// the zero value, which anybody can make.
func (s *Stillness) Check() error {
	if s == nil || !s.holds.Load() {
		return ErrMoving
	}
	return nil
}
