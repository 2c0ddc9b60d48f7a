// Package change lets goroutines wait for the next change of something that is kept
// elsewhere. Whoever waits takes the channel first and looks at the thing then, so that
// no change between the two is missed. Changes that follow one another quickly may be
// told as one.
package change

import "sync"

// Signal tells all who wait. The zero value is ready to be used, by any number of
// goroutines.
type Signal struct {
	mu   sync.Mutex
	next chan struct{} // nil: nobody waits
}

// Next gives a channel that is closed with the next Tell.
func (s *Signal) Next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// Tell says that there was a change. It never waits.
func (s *Signal) Tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}
