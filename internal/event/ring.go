package event

import "sort"

// ring holds the last events, in order. It is guarded by the journal's lock.
type ring struct {
	events []Event
	next   uint64 // place of the next event; the event at place p is events[p % len]
	taken  uint64 // place up to which the writer has taken events
}

func newRing(size int) *ring { return &ring{events: make([]Event, size)} }

func (r *ring) oldest() uint64 { return r.next - min(r.next, uint64(len(r.events))) }

func (r *ring) at(place uint64) Event { return r.events[place%uint64(len(r.events))] }

// load adds an event that is on disk already.
func (r *ring) load(e Event) {
	r.events[r.next%uint64(len(r.events))] = e
	r.next++
	r.taken = r.next
}

// add adds an event. If it takes the room of one that the writer has not
// taken, that one is returned: it is lost to the files.
func (r *ring) add(e Event) (lost Event, isLost bool) {
	if size := uint64(len(r.events)); r.next-r.taken == size {
		lost, isLost = r.at(r.taken), true
		r.taken++
	}
	r.events[r.next%uint64(len(r.events))] = e
	r.next++
	return lost, isLost
}

// take gives the writer the next events, at most limit.
func (r *ring) take(limit int) []Event {
	n := min(r.next-r.taken, uint64(limit))
	batch := make([]Event, 0, n)
	for range n {
		batch = append(batch, r.at(r.taken))
		r.taken++
	}
	return batch
}

// after copies the events with a number above seq, at most limit.
func (r *ring) after(seq uint64, limit int) []Event {
	oldest := r.oldest()
	held := int(r.next - oldest)
	skip := sort.Search(held, func(i int) bool { return r.at(oldest+uint64(i)).Seq > seq })
	out := make([]Event, 0, min(held-skip, limit))
	for i := skip; i < held && len(out) < limit; i++ {
		out = append(out, r.at(oldest+uint64(i)))
	}
	return out
}

// oldestSeq is the number of the oldest event held, or 0.
func (r *ring) oldestSeq() uint64 {
	if r.next == 0 {
		return 0
	}
	return r.at(r.oldest()).Seq
}
