package proxy

import (
	"time"

	"creel/internal/event"
)

const (
	// poisonAfter is in how many crashes running a request must have been in
	// flight to be taken for their cause.
	poisonAfter = 3
	// atOnce is a time to death so short that no differences are made below it:
	// they tell more of the machine's load than of the request.
	atOnce = 25 * time.Millisecond
)

// crashRecord is what the crashes running have in common that a request was in
// flight in.
type crashRecord struct {
	n     int                        // how many
	after [poisonAfter]time.Duration // how long after it was sent each instance died
}

// add takes note of a crash. Before the last of them the request goes alone
// (see gateway.Ask): a crash that it shared with others convicts nobody. Nor
// does one that looks like somebody else's doing (a SIGKILL from outside), unless
// all three came as long after the request: who kills a gateway again and again
// meets the same request by chance, but not at the same point.
func (c *crashRecord) add(f *failure) {
	c.after[c.n] = f.after
	if c.n+1 < poisonAfter || f.onTrial && (!f.outside || c.alike()) {
		c.n++
	}
}

// alike tells whether the instances died equally long after they had got the
// request.
func (c *crashRecord) alike() bool {
	shortest, longest := c.after[0], c.after[0]
	for _, d := range c.after[1:] {
		shortest, longest = min(shortest, d), max(longest, d)
	}
	return longest <= atOnce || longest <= 2*shortest
}

// convicted tells whether the request is taken for the cause.
func (c *crashRecord) convicted() bool { return c.n >= poisonAfter }

// poisoned gives up on a request that ends every instance it reaches.
func (x *passage) poisoned() {
	x.proxy.opts.Journal.Record(event.Event{
		Kind: event.Poisoned, Gateway: x.proxy.opts.Name, Generation: x.lastGen, Cause: "poison_request",
		Message: "a request was in flight in three crashes running, the last time alone; it is not tried again",
		Fields:  map[string]any{"method": x.req.Method, "path": x.req.URL.Path, "request_id": x.id()},
	})
	x.problem(problemPoison, "the gateway crashed three times running while it handled this request", nil)
}
