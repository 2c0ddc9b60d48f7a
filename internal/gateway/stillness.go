package gateway

import "creel/internal/gateway/internal/vouch"

// Stillness is the word of a Supervisor that no instance of its gateway runs,
// and that none is started before the word is taken back. Whoever changes the
// state under a gateway (I4) demands one, and asks Check before each step that
// cannot be undone.
//
// Only this package can give it: it is made by internal/gateway/internal/vouch,
// which Go lets nobody else import. (An interface with an unexported method
// could be had by embedding it; a plain struct, by writing its zero value.)
type Stillness = vouch.Stillness

// ErrMoving is returned by Stillness.Check when the word does not hold.
var ErrMoving = vouch.ErrMoving
