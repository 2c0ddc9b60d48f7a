package owner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"creel/internal/snapshot/store"
)

// fakeLedger is a ledger in memory whose network does what networks do.
type fakeLedger struct {
	mu      sync.Mutex
	value   []byte
	version int
	writes  int
	late    sync.WaitGroup
}

func (l *fakeLedger) read() ([]byte, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == 0 {
		return nil, ""
	}
	return l.value, fmt.Sprint(l.version)
}

func (l *fakeLedger) write(value []byte, ifVersion string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := ""
	if l.version > 0 {
		now = fmt.Sprint(l.version)
	}
	if now != ifVersion {
		return "", store.ErrChanged
	}
	l.value = value
	l.version++
	l.writes++
	return fmt.Sprint(l.version), nil
}

// line is one machine's way to the ledger. Its methods are called by one goroutine
// at a time, but for cut.
type line struct {
	l    *fakeLedger
	dice *rand.Rand

	mu       sync.Mutex
	broken   bool          // nothing gets through
	delay    time.Duration // the longest, each way
	lose     float64       // part of the answers that is lost
	lateness time.Duration // how late a request whose answer is lost may yet arrive
}

var errNetwork = errors.New("the network is down")

func (n *line) set(change func(n *line)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// way takes a message there or back.
func (n *line) way(ctx context.Context) error {
	n.mu.Lock()
	broken, d := n.broken, time.Duration(n.dice.Float64()*float64(n.delay))
	n.mu.Unlock()
	if broken {
		<-ctx.Done() // as packets that are dropped
		return errors.Join(errNetwork, context.Cause(ctx))
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *line) lost() (bool, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dice.Float64() < n.lose, time.Duration(n.dice.Float64() * float64(n.lateness))
}

func (n *line) Read(ctx context.Context, _ string) ([]byte, string, error) {
	if err := n.way(ctx); err != nil {
		return nil, "", err
	}
	value, version := n.l.read()
	return value, version, n.way(ctx)
}

func (n *line) Write(ctx context.Context, _ string, value []byte, ifVersion string) (string, error) {
	if err := n.way(ctx); err != nil {
		return "", err
	}
	if lost, late := n.lost(); lost {
		n.l.late.Go(func() {
			time.Sleep(late) // of the fake clock: the request is under way
			_, _ = n.l.write(value, ifVersion)
		})
		return "", errNetwork
	}
	version, err := n.l.write(value, ifVersion)
	if err != nil {
		return "", err
	}
	return version, n.way(ctx)
}

func (*line) Remove(context.Context, string) error { return nil }
func (*line) Close() error                         { return nil }
