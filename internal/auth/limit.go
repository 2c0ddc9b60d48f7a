package auth

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"creel/internal/event"
)

// How fast creel's own paths may be asked for, per address. A page of creel's that
// is open needs a handful of requests a second at most.
const (
	readRate, readBurst   = 50.0, 400.0
	writeRate, writeBurst = 5.0, 60.0
)

// Failures. The first few cost nothing: people mistype. From then on each doubles
// the wait, and a quiet while forgives them all.
const (
	freeFailures = 5
	firstWait    = time.Second
	longestWait  = 5 * time.Minute
	forgiveAfter = 15 * time.Minute
	// guessRate is how many passwords all strangers together may guess in a second,
	// in the long run; each costs this machine some memory and time.
	guessRate, guessBurst = 0.5, 20.0
	// toldRate bounds what failures cost the journal.
	toldRate, toldBurst = 0.1, 20.0
	// maxAddresses bounds what is remembered; the one heard of longest ago goes.
	maxAddresses = 4096
)

// bucket is a token bucket.
type bucket struct {
	left float64
	at   time.Time
}

// take takes one, if there is one.
func (b *bucket) take(rate, burst float64, now time.Time) bool {
	if b.at.IsZero() {
		b.left = burst
	} else if d := now.Sub(b.at).Seconds(); d > 0 {
		b.left = min(burst, b.left+d*rate)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// block is what counts as one address: who has one of IPv6 has a /64 of them.
func block(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// byAddress remembers something of a bounded number of addresses.
type byAddress[T any] struct {
	known map[netip.Addr]*entry[T]
}

type entry[T any] struct {
	value T
	heard time.Time
}

// of gives what is remembered of an address, a new one if it is nothing. The
// caller holds the lock.
func (m *byAddress[T]) of(a netip.Addr, now time.Time) *T {
	a = block(a)
	if m.known == nil {
		m.known = map[netip.Addr]*entry[T]{}
	}
	e := m.known[a]
	if e == nil {
		if len(m.known) >= maxAddresses {
			m.forget()
		}
		e = &entry[T]{}
		m.known[a] = e
	}
	e.heard = now
	return &e.value
}

// forget makes room: of a few that the map gives at random the oldest goes. To
// look at all would make each of a flood of addresses dear.
func (m *byAddress[T]) forget() {
	var oldest netip.Addr
	var at time.Time
	seen := 0
	for a, e := range m.known {
		if seen == 0 || e.heard.Before(at) {
			oldest, at = a, e.heard
		}
		if seen++; seen == 32 {
			break
		}
	}
	delete(m.known, oldest)
}

// traffic bounds requests for creel's own paths.
type traffic struct {
	mu    sync.Mutex
	reads byAddress[bucket]
	write byAddress[bucket]
}

func newTraffic() *traffic { return &traffic{} }

func (t *traffic) allows(a netip.Addr, reading bool, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if reading {
		return t.reads.of(a, now).take(readRate, readBurst, now)
	}
	return t.write.of(a, now).take(writeRate, writeBurst, now)
}

// attempts remembers who failed to show who they are.
type attempts struct {
	mu        sync.Mutex
	addresses byAddress[failures]
	guesses   bucket
	told      bucket
	untold    int // failures that the journal was not told of
}

type failures struct {
	count int
	last  time.Time
	until time.Time // no attempt before that
}

func newAttempts() *attempts { return &attempts{} }

// slowedError says that it is too early for another attempt.
type slowedError struct{ wait time.Duration }

func (e *slowedError) Error() string {
	return fmt.Sprintf("too many attempts have failed; the next one may come in %v", e.wait.Round(time.Second))
}

// wait is how long an address has to wait before another attempt.
func (a *attempts) wait(from netip.Addr, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, a.addresses.of(from, now).until.Sub(now))
}

// guess asks for leave to try a password.
func (a *attempts) guess(from netip.Addr, now time.Time) error {
	if wait := a.wait(from, now); wait > 0 {
		return &slowedError{wait}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.guesses.take(guessRate, guessBurst, now) {
		return &slowedError{time.Duration(float64(time.Second) / guessRate)}
	}
	return nil
}

// failed counts a failure. tell says whether the journal is to hear of it, and of
// how many before that it has not.
func (a *attempts) failed(from netip.Addr, now time.Time) (tell bool, untold int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.addresses.of(from, now)
	if now.Sub(f.last) > forgiveAfter {
		*f = failures{}
	}
	f.count++
	f.last = now
	if over := f.count - freeFailures; over > 0 {
		f.until = now.Add(min(longestWait, firstWait<<min(over-1, 20)))
	}
	if !a.told.take(toldRate, toldBurst, now) {
		a.untold++
		return false, 0
	}
	untold, a.untold = a.untold, 0
	return true, untold
}

// succeeded forgives an address.
func (a *attempts) succeeded(from netip.Addr, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.addresses.of(from, now) = failures{}
}

// failed notes, and journals, that somebody did not show who they are.
func (g *Gate) failed(from Sender, what string, now time.Time) {
	tell, untold := g.attempts.failed(from.Addr, now)
	if !tell {
		return
	}
	fields := map[string]any{"address": from.Addr.String(), "method": what}
	if untold > 0 {
		fields["not_told"] = untold
	}
	g.record(event.LoginFailed, fmt.Sprintf("somebody at %s could not sign in (%s)", from.Addr, what), fields)
}

// failedToken is failed for an API token, and the reason for the request's end.
func (g *Gate) failedToken(from Sender, now time.Time) error {
	if wait := g.attempts.wait(from.Addr, now); wait > 0 {
		return &slowedError{wait}
	}
	g.failed(from, "token", now)
	return fmt.Errorf("%w: the API token has expired, was revoked, or never was one", errWrong)
}
