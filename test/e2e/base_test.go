//go:build e2e

package e2e

import (
	"encoding/json"
	"testing"
	"time"
)

// TestVariantBase: somebody opens the link on another machine, has to be let in, is
// let in, and talks to the agent. The gateway is killed in the midst of an answer:
// the page comes back by itself, the answer is given to its end, and they go on.
func TestVariantBase(t *testing.T) { variant(t, playBase) }

func playBase(t *testing.T, s *stage) {
	llm, edge := s.llm, newEdge(t, s.folder)
	config := agentOn(llm)
	config["gateway"] = object{"controlUi": object{"allowedOrigins": []string{edge.origin}}}
	s.up(t, config, edge.environ()...)

	s.say(t, "First visit, from another machine")
	page := s.visit(t, edge, openGateway)
	s.shows(t, page)
	page.until(t, "the page says that it has to be let in", `/waiting for approval/i.test(document.body.innerText) && /pairing required/i.test(document.body.textContent)`)
	s.snap(t, page, "pairing-required")
	s.wantWaiting(t)
	s.say(t, "It is let in, on creel's own pages")
	devices := s.visit(t, edge, "/_creel/devices")
	s.shows(t, devices)
	devices.until(t, "the device is on creel's pages", shown(visitor))
	s.snap(t, devices, "devices")
	began := time.Now()
	devices.press(t, "Approve")
	page.until(t, "it is let in", chatReady)
	t.Logf("the page is in %v after the button was pressed", time.Since(began).Round(time.Millisecond))
	devices.until(t, "creel's pages say so", `/no device is waiting/i.test(document.body.innerText)`)
	s.snap(t, devices, "approved")
	s.shows(t, page)
	s.snap(t, page, "connected")

	s.say(t, "A question")
	page.ask(t, "What is 847293 + 651824? Reply with just the number.")
	page.until(t, "it is answered", answered("1499117"))
	s.snap(t, page, "answered")

	s.say(t, "Another one; the gateway is killed in the midst of the answer")
	llm.Hold()
	drain(llm.Asked())
	page.ask(t, "What is 111111 + 222222?")
	receive(t, llm.Asked(), "the model is asked")
	page.until(t, "the page says that it is at work", "!!"+runGoesOn)
	s.snap(t, page, "half-an-answer")
	before := s.status(t)
	drain(llm.Asked())
	s.kill(t)
	page.until(t, "the page has lost the gateway", disconnected)
	s.snap(t, page, "lost")
	receive(t, llm.Asked(), "the model is asked again")
	llm.Release()
	page.until(t, "the page is there again, with the whole answer", chatReady+" && "+shown("333333"))
	s.snap(t, page, "whole-answer")
	if now := s.status(t); now.Generation != before.Generation+1 || now.Restarts != before.Restarts+1 {
		t.Errorf("after the kill: %v, before: %v", now, before)
	}

	s.say(t, "The conversation goes on")
	page.ask(t, "What is 1000 + 234?")
	// The page goes on showing the turn that was cut off as one at work, until it is
	// loaded anew: it never hears of its end.
	page.until(t, "it is answered", shown("1234"))
	s.snap(t, page, "goes-on")
	s.end(t)
}

// drain drops what has come.
func drain(from <-chan struct{}) {
	for {
		select {
		case <-from:
		default:
			return
		}
	}
}

// receive waits for something.
func receive(t *testing.T, from <-chan struct{}, what string) {
	t.Helper()
	began := time.Now()
	select {
	case <-from:
		t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
	case <-time.After(bootLimit):
		t.Fatalf("%s: not within %v", what, bootLimit)
	}
}

// wantWaiting checks that one device waits, and that it is the visitor's.
func (s *stage) wantWaiting(t *testing.T) {
	t.Helper()
	var answer struct {
		Devices []struct{ ID, State, Address string }
	}
	text := s.mustCommand(t, "devices", "list", "--json")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if len(answer.Devices) != 1 || answer.Devices[0].State != "pending" || answer.Devices[0].Address != visitor {
		t.Fatalf("devices: %s", text)
	}
}
