//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"creel/test/fake"
)

// TestTurnAndStop: a turn that is under way when the gateway is to restart, or to stop,
// ends before it does, if it can within the time that there is. One that cannot is cut
// off, and goes on after the start. The journal says which.
func TestTurnAndStop(t *testing.T) {
	f, telegram, llm := newWorld(t)
	f.settings(t, "gateway: {stop: {drain: 1s, grace: 25s}}\n")
	c := f.up(t)
	c.link(t)
	w := &turns{folder: f, telegram: telegram, llm: llm}

	t.Log("a restart, and a turn that ends")
	restart := w.during(t, "restart")
	llm.Release()
	w.told(t, restart, "OpenClaw's work has ended after", 1)

	t.Log("a restart, and a turn that does not end")
	f.settings(t, "gateway: {stop: {drain: 1s, grace: 8s}}\n") // 4 s of them for turns
	f.mustCommand(t, "reload")
	drain(llm.Asked())
	restart = w.during(t, "restart")
	w.told(t, restart, "OpenClaw was still at work after 4", 1)
	receive(t, llm.Asked(), "the model is asked again")
	llm.Release()
	w.answers(t, 2)

	t.Log("a stop, and a turn that ends")
	f.settings(t, "gateway: {stop: {drain: 1s, grace: 25s}}\n")
	f.mustCommand(t, "reload")
	drain(llm.Asked())
	stop := w.during(t, "stop")
	llm.Release()
	w.told(t, stop, "OpenClaw's work has ended after", 3)
	f.end(t, c)
}

// turns is a bot whose agent is at work when the gateway is to end.
type turns struct {
	*folder
	telegram *fake.Telegram
	llm      *fake.LLM
}

// planned is an end of an instance that somebody has asked for.
type planned struct {
	known   uint64 // event before it
	outcome chan result
}

// during has a turn begin, and asks for the end of the instance when it has. It
// returns when that has begun.
func (w *turns) during(t *testing.T, command string) planned {
	t.Helper()
	w.llm.Hold()
	w.telegram.Say(4711, "How is it?")
	receive(t, w.llm.Asked(), "the model is asked")
	p := planned{lastSeq(w.events(t)), make(chan result, 1)}
	go func() {
		r, err := w.tryCommand(t.Context(), command)
		if err != nil {
			r.stderr += err.Error()
			r.code = -1
		}
		p.outcome <- r
	}()
	eventually(t, momentLimit, "the "+command+" has begun", func() (bool, string) {
		return count(w.events(t), "stopping", p.known) > 0, ""
	})
	return p
}

// told waits until the command has ended, and checks what the journal says, and how
// many turns were answered.
func (w *turns) told(t *testing.T, p planned, what string, answers int) {
	t.Helper()
	if r := <-p.outcome; r.code != 0 {
		t.Fatalf("%+v", r)
	}
	said := false
	list := w.events(t)
	for _, e := range list {
		if e.Seq > p.known {
			t.Logf("%s %s: %s", e.Time.Format(time.TimeOnly), e.Kind, e.Message)
			said = said || strings.HasPrefix(e.Message, what)
		}
	}
	if !said {
		t.Errorf("the journal does not say %q", what)
	}
	if strings.Contains(what, "has ended") && count(list, "killed", p.known) != 0 {
		t.Error("it was killed though its turn could end")
	}
	w.answers(t, answers)
}

// answers waits until so many turns were answered, and checks that none was twice.
func (w *turns) answers(t *testing.T, want int) {
	t.Helper()
	eventually(t, bootLimit, "the answer is there", func() (bool, string) {
		got := 0
		for _, m := range w.telegram.Sent() {
			got += strings.Count(m.Text, fake.AllIsWell)
		}
		if got > want {
			t.Fatalf("%d answers to %d messages: %s", got, want, toJSON(t, w.telegram.Sent()))
		}
		return got == want, toJSON(t, w.telegram.Sent())
	})
}
