package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	crashConns = 8                     // connections with GETs, and as many with POSTs
	crashPace  = 10 * time.Millisecond // between the beginnings of two requests on a connection
	// crashPatience bounds one request; a proxy may hold it for as long.
	crashPatience = 30 * time.Second
)

// fate is what became of the requests of one kind.
type fate struct{ sent, lost int }

// crashResult is what a contestant did while its gateway was killed.
type crashResult struct {
	safe, unsafe fate
	twice        int       // requests that were executed more than once
	back         []float64 // from SIGKILL to the first answer of the next instance, in ms
}

// crashes kills the gateway of a contestant again and again under load.
func (b *bench) crashes(ctx context.Context, k contestant, g gatewayOptions) (r crashResult, err error) {
	up, err := b.stand(ctx, g, k)
	if err != nil {
		return r, err
	}
	s := up[0]
	defer func() { err = errors.Join(err, fall(up)) }()
	l := &crashLoad{addr: s.addr, over: make(chan struct{}), answered: map[string]bool{}}
	for i := range crashConns {
		l.workers.Go(func() { l.drive(&r.safe, func() ([]byte, string) { return getRequest(s.addr, "/work"), "" }) })
		n := 0
		l.workers.Go(func() {
			l.drive(&r.unsafe, func() ([]byte, string) {
				n++
				id := fmt.Sprintf("%d-%d", i, n)
				return append(bodyHead("POST", s.addr, "/once?id="+id, smallBody), make([]byte, smallBody)...), id
			})
		})
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same pauses for all
	for i := range b.plan.Crashes {
		if err = pause(ctx, 200*time.Millisecond+time.Duration(random.Int64N(int64(200*time.Millisecond)))); err != nil {
			break
		}
		var d time.Duration
		if d, err = killAndKeepAsking(s.addr); err != nil {
			err = fmt.Errorf("kill %d of %d: %w", i+1, b.plan.Crashes, err)
			break
		}
		r.back = append(r.back, millis(d))
	}
	close(l.over)
	l.workers.Wait()
	if err == nil {
		r.twice, err = l.audit(ledgerOf(s.dir))
	}
	return r, err
}

// crashLoad sends requests at an even pace, and goes on whatever becomes of them.
type crashLoad struct {
	addr    string
	over    chan struct{}
	workers sync.WaitGroup // each ends with over, or with its request's deadline

	mu       sync.Mutex
	answered map[string]bool // ids that were answered well
	phase    atomic.Int64
}

// drive sends requests on one connection, and makes another where it breaks. next
// makes a request, and its id if what it does is written down.
func (l *crashLoad) drive(f *fate, next func() ([]byte, string)) {
	var w *wire
	defer func() {
		if w != nil {
			_ = w.close() // it is only to end
		}
	}()
	time.Sleep(time.Duration(l.phase.Add(1)) * crashPace / (2 * crashConns)) // so that not all come at once
	tick := time.NewTicker(crashPace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.over:
			return
		}
		request, id := next()
		var err error
		if w == nil {
			w, err = dialWire(l.addr, time.Now().Add(crashPatience))
		} else {
			err = w.conn.SetDeadline(time.Now().Add(crashPatience))
		}
		if err == nil {
			err = w.exchange(request, smallBody)
		}
		l.mu.Lock()
		f.sent++
		if err != nil {
			f.lost++
		} else if id != "" {
			l.answered[id] = true
		}
		l.mu.Unlock()
		if err != nil && w != nil {
			_ = w.close() // it is broken
			w = nil
		}
	}
}

// audit reads the gateway's ledger: how many requests were executed more than
// once. That one was answered and not executed would be a fault of the benchmark.
func (l *crashLoad) audit(ledger string) (twice int, err error) {
	text, err := os.ReadFile(ledger)
	if err != nil {
		return 0, fmt.Errorf("cannot read what the gateway has done: %w", err)
	}
	done := map[string]int{}
	for id := range strings.FieldsSeq(string(text)) {
		if done[id]++; done[id] == 2 {
			twice++
		}
	}
	for id := range l.answered {
		if done[id] == 0 {
			return 0, fmt.Errorf("request %s was answered, but is not in the gateway's ledger", id)
		}
	}
	if len(done) == 0 {
		return 0, errors.New("the gateway has done nothing")
	}
	return twice, nil
}

// killAndKeepAsking kills the gateway behind addr with SIGKILL and asks until the
// next instance has answered, again and again if need be. It returns how long that
// took from the kill.
func killAndKeepAsking(addr string) (time.Duration, error) {
	before, err := whoami(addr)
	if err != nil {
		return 0, fmt.Errorf("cannot find out whom to kill: %w", err)
	}
	began := time.Now()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("cannot kill the gateway, pid %d: %w", before.PID, err)
	}
	for {
		now, err := whoami(addr)
		if err == nil && now.PID != before.PID {
			return time.Since(began), nil
		}
		if time.Since(began) > bootPatience {
			return 0, fmt.Errorf("no answer of another instance within %v: %w", bootPatience, err)
		}
		time.Sleep(500 * time.Microsecond)
	}
}
