package crashgw

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// State is a state that changes all the time; package state has the only one.
type State interface {
	// Run changes it until ctx ends, with a pause after each change.
	Run(ctx context.Context, pause time.Duration) error
	// Done is the number of the last change that is complete.
	Done() int64
}

// openState is set by package state: programs that need no state do not carry
// SQLite.
var openState func(dir string) (State, error)

// RegisterState makes --state available. Package state calls it.
func RegisterState(open func(dir string) (State, error)) { openState = open }

// changeState changes the state for as long as the process lives.
func (s *server) changeState() {
	if err := s.state.Run(context.Background(), s.opts.StateEvery); err != nil {
		s.log.Print(err)
		s.die(death{code: 1, why: "--state"})
	}
}

// serveState tells how far the state has come.
func (c *call) serveState() {
	if c.state == nil {
		c.reply(http.StatusNotFound, failure{"cannot tell: there is no --state"})
		return
	}
	c.reply(http.StatusOK, stateDone{c.state.Done()})
}

// stateDone is the answer of /state.
type stateDone struct {
	Done int64 `json:"done"`
}

// StateDone asks for the number of the last transaction of --state that is
// complete.
func (p *Process) StateDone() int64 {
	p.t.Helper()
	r, err := http.Get(p.URL + "/state")
	if err != nil {
		p.t.Fatalf("cannot ask crashgw for its state: %v\n%s", err, p.Output())
	}
	defer r.Body.Close()
	var answer stateDone
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || r.StatusCode != http.StatusOK {
		p.t.Fatalf("cannot ask crashgw for its state: %s %s %v", r.Status, body, err)
	}
	return answer.Done
}
