package gateway

import "sync/atomic"

// Stillness is the proof that no instance of the gateway runs, and that none is
// started as long as it holds. Whatever puts other files in the place of a
// gateway's state asks for one (I4), and nothing but a Supervisor makes one: it
// hands it to Keeper.Prepare, between the end of one instance and the start of
// the next.
type Stillness struct{ holds *atomic.Bool }

// Holds tells whether the proof is good at this moment. That of the zero
// Stillness never is, and one that was kept for later is not any more.
func (s Stillness) Holds() bool { return s.holds != nil && s.holds.Load() }

// newStillness makes a proof that holds until its end is called.
func newStillness() (s Stillness, end func()) {
	s = Stillness{new(atomic.Bool)}
	s.holds.Store(true)
	return s, func() { s.holds.Store(false) }
}

// StillnessForTest is a proof for tests of what asks for one. It holds until
// the test ends. t is a testing.TB.
func StillnessForTest(t interface{ Cleanup(func()) }) Stillness {
	s, end := newStillness()
	t.Cleanup(end)
	return s
}
