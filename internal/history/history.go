// Package history remembers how much a gateway has used and how many requests it
// has answered, for the last hour and the last day: what the small charts of the
// admin pages are drawn from.
//
// What it guarantees: a fixed amount of memory (two rings, some 40 KiB), one
// goroutine that is the caller's (Run), and no cost for requests: counters that
// exist anyway are read now and then. A reading that cannot be had leaves a gap
// and never a made-up value; a counter that begins anew (another instance, another
// creel) is not taken for a negative rate.
//
// What it refuses: to be a time series database. Nothing is written to disk, and
// what is older than a day is gone; Prometheus has the rest (/_creel/metrics).
package history

import (
	"context"
	"sync"
	"time"
)

// The two rings.
const (
	Every  = 10 * time.Second // between two samples of the last hour
	Fine   = time.Hour
	Coarse = 24 * time.Hour

	fineSize   = int(Fine / Every)
	perCoarse  = 30 // samples in one of the last day: five minutes
	coarseSize = int(Coarse/Every) / perCoarse
)

// Reading is what the counters say at one moment.
type Reading struct {
	At         time.Time
	Generation uint64        // of the instance that runs; 0: none does
	Memory     int64         // bytes that it uses, all processes together
	CPU        time.Duration // processor time that it has used so far
	Used       bool          // Memory and CPU are known
	Requests   uint64        // that have ended since creel started
	Failed     uint64        // of these, those that creel could not bring to an answer
}

// Sample is what happened in one span of time.
type Sample struct {
	At         time.Time // its end
	Generation uint64
	Memory     int64   // bytes, the most that was seen
	CPU        float64 // processors in use: 1 is one whole
	Used       bool    // Memory and CPU are known
	Requests   float64 // per second
	Failed     float64 // per second
}

// Sampler takes samples. Its methods may be called from any goroutine.
type Sampler struct {
	read func(ctx context.Context) Reading

	mu      sync.Mutex
	fine    ring
	coarse  ring
	pending []Sample // since the last one of coarse; at most perCoarse
	last    Reading
	have    bool
}

// New makes a sampler of what read gives. read is never called twice at once.
func New(read func(ctx context.Context) Reading) *Sampler {
	return &Sampler{read: read, fine: ring{size: fineSize}, coarse: ring{size: coarseSize}}
}

// Run takes a sample at once and then one each Every, until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		r := s.read(ctx)
		if ctx.Err() != nil {
			return
		}
		s.add(r)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Since gives the samples of the last span, oldest first: those of the last hour
// one by one, more than that in steps of five minutes.
func (s *Sampler) Since(now time.Time, span time.Duration) []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := &s.fine
	if span > Fine {
		from = &s.coarse
	}
	var list []Sample
	for _, x := range from.list() {
		if now.Sub(x.At) <= span {
			list = append(list, x)
		}
	}
	if span > Fine && len(s.pending) > 0 {
		list = append(list, merge(s.pending))
	}
	return list
}

func (s *Sampler) add(r Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, have := s.last, s.have
	s.last, s.have = r, true
	took := r.At.Sub(last.At).Seconds()
	if !have || took <= 0 {
		return
	}
	x := Sample{At: r.At, Generation: r.Generation, Memory: r.Memory}
	if same := r.Used && last.Used && r.Generation == last.Generation; same && r.CPU >= last.CPU {
		x.Used, x.CPU = true, (r.CPU-last.CPU).Seconds()/took
	} else if r.Used { // a new instance: its time since its start, at most
		x.Used, x.CPU = true, min(r.CPU.Seconds()/took, 1)
		if r.Generation == last.Generation { // a process of it has ended and took its time along
			x.CPU = 0
		}
	}
	x.Requests, x.Failed = rate(last.Requests, r.Requests, took), rate(last.Failed, r.Failed, took)
	s.fine.add(x)
	if s.pending = append(s.pending, x); len(s.pending) == perCoarse {
		s.coarse.add(merge(s.pending))
		s.pending = s.pending[:0]
	}
}

func rate(before, after uint64, seconds float64) float64 {
	if after < before {
		return float64(after) / seconds // the counter has begun anew
	}
	return float64(after-before) / seconds
}

// merge makes one sample of several: the most memory, the mean of the others.
func merge(list []Sample) Sample {
	out := Sample{At: list[len(list)-1].At, Generation: list[len(list)-1].Generation}
	used := 0
	for _, x := range list {
		out.Requests += x.Requests / float64(len(list))
		out.Failed += x.Failed / float64(len(list))
		if x.Used {
			used++
			out.Memory = max(out.Memory, x.Memory)
			out.CPU += x.CPU
		}
	}
	if used > 0 {
		out.Used, out.CPU = true, out.CPU/float64(used)
	}
	return out
}

// ring keeps the newest samples. It grows to its size and no further.
type ring struct {
	size int
	kept []Sample
	next int
}

func (r *ring) add(x Sample) {
	if len(r.kept) < r.size {
		r.kept = append(r.kept, x)
		return
	}
	r.kept[r.next] = x
	r.next = (r.next + 1) % r.size
}

func (r *ring) list() []Sample {
	return append(append([]Sample{}, r.kept[r.next:]...), r.kept[:r.next]...)
}
