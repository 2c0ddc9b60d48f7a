package openclaw

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A browser that has to be let in is refused and tries again by itself: after 0.8 s,
// and 1.7 times later with each refusal, up to 15 s. Whoever is let in between two
// attempts sees it when the pause is over. No honest word changes that pause: OpenClaw's
// page takes retryAfterMs for the least that it waits, and for less only from a gateway
// that says it is still starting.
//
// So the attempt waits in place of the browser, until its device is let in, and gets in
// at once then. It waits as long as the two ends allow. The page gives a handshake
// 15 s and then says that the gateway cannot be reached; so its handshake waits for
// openWait. Then it reaches the gateway, which gives the login that must follow 15 s
// again; that waits for loginWait. Only then it is refused, and the next pause of the
// page's begins. With pauses of 0.8, 1.4, 2.3 and 3.9 s between waits of 23 s, in the
// first minute 97 of 100 approvals are seen at once; later the pauses get longer.

// The measures of a WaitingRoom.
const (
	openWait  = 12 * time.Second
	loginWait = 11 * time.Second
	// hastyLeaves is how many clients may leave in a row before their handshakes have
	// waited for openWait, until none waits any more: what is between the browser and
	// creel has no patience.
	hastyLeaves = 4
	// remembered is how long a browser is known that does not come again. It comes
	// within 15 s.
	remembered = time.Minute
	// maxBrowsers and maxAttempts bound what is kept, and who waits; beyond that
	// attempts are passed on as they come.
	maxBrowsers = 256
	maxAttempts = 4 // of one browser: its tabs
	maxRequests = 8 // of one browser, or that nobody is known to have made
)

// WaitingRoom keeps the next attempt of a browser that was refused for want of
// approval until its device is let in, or for a while.
//
// Who waits is named by the caller, by a word that one browser has and no other one:
// a device that is let in must not wait because another one does. An attempt waits
// only after a refusal, each refusal makes one attempt wait, and a browser that is
// not heard of is passed on. The zero WaitingRoom is shut, and nobody waits in it.
type WaitingRoom struct {
	mu       sync.Mutex
	ears     int // how many listen for approvals; 0: the room is shut
	browsers map[string]*waitingBrowser
	early    []string // requests that were approved before their refusal was heard of
}

// waitingBrowser is what is known of one.
type waitingBrowser struct {
	seen     time.Time
	refused  int      // refusals that no handshake has waited for
	opened   int      // handshakes that have waited in vain, whose logins are to wait
	requests []string // the gateway's ids, the last ones
	attempts map[chan struct{}]struct{}
	hasty    int
}

// Open lets attempts wait: whoever lets devices in is heard. Each Open has its Shut.
// There may be several for a moment: what one creel has opened it for, before an upgrade
// that failed, may come to its end when it is open again for what came after.
func (w *WaitingRoom) Open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ears++
	if w.browsers == nil {
		w.browsers = map[string]*waitingBrowser{}
	}
}

// Shut lets all go on: what the one that listened has not heard may be an approval. After
// as many as there were of Open nobody waits any more.
func (w *WaitingRoom) Shut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ears = max(0, w.ears-1)
	w.release()
}

// Release lets all go on: one of them may have been let in.
func (w *WaitingRoom) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release()
}

func (w *WaitingRoom) release() {
	for _, b := range w.browsers {
		b.release()
	}
	clear(w.browsers)
	w.early = nil
}

// Refused takes note that a browser's device waits for approval, by the gateway's id
// of its request.
func (w *WaitingRoom) Refused(browser, request string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ears == 0 || slices.Contains(w.early, request) {
		return
	}
	b := w.browsers[browser]
	if b == nil || b.gone() { // one that comes back after a while gets another chance
		if w.forget(); len(w.browsers) >= maxBrowsers {
			return
		}
		b = &waitingBrowser{attempts: map[chan struct{}]struct{}{}}
		w.browsers[browser] = b
	}
	b.seen, b.refused = time.Now(), min(b.refused+1, maxAttempts)
	b.requests = keepLast(b.requests, request)
}

// Approved lets the attempts of the browser go on that has made a request.
func (w *WaitingRoom) Approved(request string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for browser, b := range w.browsers {
		// Its tabs are one device, of which the last request is decided on.
		if slices.Contains(b.requests, request) {
			b.release()
			delete(w.browsers, browser)
			return
		}
	}
	w.early = keepLast(w.early, request)
}

// Wait has a handshake wait if the browser was refused a moment ago: until its device
// is let in, the room is shut, a while is over, or ctx ends. It tells whether it has
// waited.
func (w *WaitingRoom) Wait(ctx context.Context, browser string) bool {
	b, attempt := w.enter(browser, func(b *waitingBrowser) *int { return &b.refused })
	if b == nil {
		return false
	}
	over := time.NewTimer(openWait)
	defer over.Stop()
	select {
	case <-attempt:
	case <-over.C:
		w.leave(b, attempt, func() { b.hasty, b.opened = 0, min(b.opened+1, maxAttempts) })
	case <-ctx.Done(): // a page that was closed or loaded anew, or somebody without patience
		w.leave(b, attempt, func() { b.hasty++ })
	}
	return true
}

// Waits tells whether a login of the browser's is to wait: a handshake of its has
// waited in vain.
func (w *WaitingRoom) Waits(browser string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.browsers[browser]
	return b != nil && b.opened > 0
}

// WaitOn has the login wait that follows such a handshake, until over is closed at
// most.
func (w *WaitingRoom) WaitOn(over <-chan struct{}, browser string) {
	b, attempt := w.enter(browser, func(b *waitingBrowser) *int { return &b.opened })
	if b == nil {
		return
	}
	end := time.NewTimer(loginWait)
	defer end.Stop()
	select {
	case <-attempt:
		return
	case <-end.C:
	case <-over:
	}
	w.leave(b, attempt, func() {})
}

// enter has an attempt wait for one of those that count says are to.
func (w *WaitingRoom) enter(browser string, count func(*waitingBrowser) *int) (*waitingBrowser, chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.browsers[browser]
	if b == nil || *count(b) == 0 || b.hasty >= hastyLeaves || time.Since(b.seen) > remembered || len(b.attempts) >= maxAttempts {
		return nil, nil
	}
	*count(b)--
	attempt := make(chan struct{})
	b.attempts[attempt] = struct{}{}
	return b, attempt
}

// leave is the end of an attempt's wait that nobody has ended.
func (w *WaitingRoom) leave(b *waitingBrowser, attempt chan struct{}, note func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(b.attempts, attempt)
	b.seen = time.Now()
	note()
}

// forget drops browsers that have not come again.
func (w *WaitingRoom) forget() {
	for browser, b := range w.browsers {
		if b.gone() {
			delete(w.browsers, browser)
		}
	}
}

// gone tells whether it has not come again.
func (b *waitingBrowser) gone() bool {
	return len(b.attempts) == 0 && time.Since(b.seen) > remembered
}

// release lets all attempts go on.
func (b *waitingBrowser) release() {
	for attempt := range b.attempts {
		close(attempt)
	}
	clear(b.attempts)
}

// keepLast adds a word to a short list.
func keepLast(list []string, word string) []string {
	list = append(list, word)
	return slices.Delete(list, 0, max(0, len(list)-maxRequests))
}
