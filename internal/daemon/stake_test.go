package daemon

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"creel/internal/gateway"
)

// TestStake: one lease is asked for, for all requests with an instance, and before the
// first of them is sent; it is given back with the last.
func TestStake(t *testing.T) {
	s := newSuccessor(t)
	r := newRemote(s.dir)
	t.Cleanup(r.close)
	leases := make(chan gateway.Lease, 2)
	acquire := func() {
		l, err := r.Acquire(t.Context(), gateway.Ask{Until: time.Now().Add(patience)})
		if err != nil {
			t.Error(err)
		}
		leases <- l
	}
	go acquire()
	if q := <-s.asked; q != "generation=3&under_way=false" {
		t.Errorf("asked for %s", q)
	}
	select {
	case <-leases:
		t.Fatal("a request is sent before the other creel knows")
	default:
	}
	s.answer <- http.StatusOK
	first := <-leases
	acquire()
	second := <-leases
	first.Release()
	select {
	case <-s.over:
		t.Fatal("it is given back with the first request")
	default:
	}
	second.Release()
	<-s.over
	s.answer <- http.StatusOK
	acquire()
	if q := <-s.asked; q != "generation=3&under_way=false" {
		t.Errorf("asked for %s", q)
	}
	third := <-leases
	third.Release()
	<-s.over
}

// TestStakeIsHeldOn: when the other creel is upgraded or dies, the next one is told,
// now of requests that are under way.
func TestStakeIsHeldOn(t *testing.T) {
	s := newSuccessor(t)
	r := newRemote(s.dir)
	t.Cleanup(r.close)
	stake := r.newStake(3)
	s.answer <- http.StatusBadGateway // it cannot say yet
	s.answer <- http.StatusOK
	if err := stake.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.cut <- struct{}{}
	for _, want := range []string{"generation=3&under_way=false", "generation=3&under_way=false", "generation=3&under_way=true"} {
		if q := <-s.asked; q != want {
			t.Errorf("asked for %s, want %s", q, want)
		}
	}
	s.answer <- http.StatusConflict // the instance has ended: those who have a lease hear of it
	if err := stake.take(t.Context()); err != nil {
		t.Error(err)
	}
	stake.giveBack()
	stake.giveBack()
}

// TestStakeMoves: when the other creel says that it ends, the lease that is had of it is
// given back when the next one has lent one, not sooner.
func TestStakeMoves(t *testing.T) {
	s := newSuccessor(t)
	r := newRemote(s.dir)
	t.Cleanup(r.close)
	stake := r.newStake(3)
	s.answer <- http.StatusOK
	if err := stake.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ends <- struct{}{}
	s.answer <- http.StatusBadGateway // the next one cannot say yet
	for _, want := range []string{"generation=3&under_way=false", "generation=3&under_way=true", "generation=3&under_way=true"} {
		if q := <-s.asked; q != want {
			t.Errorf("asked for %s, want %s", q, want)
		}
	}
	<-s.over // of the one that could not say
	select {
	case <-s.over:
		t.Error("it is given back before another one is had")
	default:
	}
	s.answer <- http.StatusOK
	<-s.over
	stake.giveBack()
	<-s.over
}

// TestStakeRefused: an instance that is about to end is not used, and nobody waits for
// longer than they want.
func TestStakeRefused(t *testing.T) {
	s := newSuccessor(t)
	r := newRemote(s.dir)
	t.Cleanup(r.close)
	stake := r.newStake(3)
	s.answer <- http.StatusConflict
	if err := stake.take(t.Context()); !errors.Is(err, gateway.ErrNotLent) {
		t.Errorf("got %v", err)
	}
	<-s.over
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.asked
		<-s.asked
		cancel()
	}()
	if err := stake.take(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-s.over
	s.answer <- http.StatusConflict
	s.answer <- http.StatusOK
	l, err := r.Acquire(t.Context(), gateway.Ask{Until: time.Now().Add(patience)}) // asks again
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}

// TestDeclare: what is under way at an upgrade is said before it goes on, and held until
// it is done.
func TestDeclare(t *testing.T) {
	s := newSuccessor(t)
	r := newRemote(s.dir)
	t.Cleanup(r.close)
	done := make(chan struct{})
	drained := func(ctx context.Context) error {
		select {
		case <-done:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	s.answer <- http.StatusOK
	if err := r.declare(t.Context(), 3, drained); err != nil {
		t.Fatal(err)
	}
	if q := <-s.asked; q != "generation=3&under_way=true" {
		t.Errorf("asked for %s", q)
	}
	close(done)
	<-s.over
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.declare(ctx, 4, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if q := <-s.asked; q != "generation=4&under_way=true" {
		t.Errorf("asked for %s", q)
	}
}
