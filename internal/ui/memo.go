package ui

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errNotYet says that an answer is still on its way.
var errNotYet = errors.New("it is being asked for")

// askTime bounds one question to a store or to OpenClaw.
const askTime = 30 * time.Second

// memo keeps the last answer to a question that may take its time. However many
// ask, the question is under way once at most, and an answer serves for as long as
// it is fresh.
type memo[T any] struct {
	spawn func(func(context.Context)) bool
	fresh time.Duration
	ask   func(context.Context) (T, error)

	mu      sync.Mutex
	value   T
	err     error
	at      time.Time     // of value and err; zero: there is no answer yet
	stale   bool          // something has changed since it was asked
	running chan struct{} // closed when the question under way is answered; nil: none is
}

func newMemo[T any](spawn func(func(context.Context)) bool, fresh time.Duration, ask func(context.Context) (T, error)) *memo[T] {
	return &memo[T]{spawn: spawn, fresh: fresh, ask: ask}
}

// get gives the answer: a fresh one if it comes before ctx ends, else the last
// one, else errNotYet.
func (m *memo[T]) get(ctx context.Context) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.at.IsZero() || m.stale || time.Since(m.at) >= m.fresh {
		if m.running == nil {
			m.start()
		}
		running := m.running
		if running == nil { // the pages end
			break
		}
		m.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
		}
		m.mu.Lock()
		if ctx.Err() != nil {
			break
		}
	}
	if m.at.IsZero() {
		var none T
		return none, errNotYet
	}
	return m.value, m.err
}

// start asks. It is called with mu held.
func (m *memo[T]) start() {
	running := make(chan struct{})
	m.stale = false
	if !m.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		value, err := m.ask(ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.value, m.err, m.at, m.running = value, err, time.Now(), nil
		close(running)
	}) {
		return // the pages end
	}
	m.running = running
}

// forget has the next get ask again.
func (m *memo[T]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = true
}
