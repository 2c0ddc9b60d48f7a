package proxy

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"creel/internal/gateway"
)

// greeter is a gateway that speaks first and then sends every frame back.
func greeter(got func()) func(*peer) {
	return func(p *peer) {
		h := p.head()
		if h == nil {
			return
		}
		p.accept(h)
		p.write(string(frame(0x81, false, []byte("first"))))
		for {
			first, payload, err := readFrame(p.br)
			if err != nil {
				return
			}
			if first&0xf == opClose {
				p.write(string(frame(first, false, payload)))
				return
			}
			got()
			p.write(string(frame(first, false, payload)))
		}
	}
}

// TestPause: what a client sends waits, what the gateway sends does not.
func TestPause(t *testing.T) {
	release := make(chan struct{})
	var released, early atomic.Bool
	w := newWorld(t, greeter(func() {
		if !released.Load() {
			early.Store(true)
		}
	}), func(s *setting) {
		s.proxy.Pause = func(r *http.Request) func(<-chan struct{}) {
			if r.URL.Path != "/ws" {
				return nil
			}
			return func(over <-chan struct{}) {
				select {
				case <-release:
				case <-over:
				}
			}
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := w.socket()
	if _, text, err := c.Read(ctx); err != nil || string(text) != "first" {
		t.Fatalf("%q, %v", text, err)
	}
	if err := c.Write(ctx, websocket.MessageText, []byte("login")); err != nil {
		t.Fatal(err)
	}
	released.Store(true)
	close(release)
	if _, text, err := c.Read(ctx); err != nil || string(text) != "login" {
		t.Errorf("%q, %v", text, err)
	}
	if early.Load() {
		t.Error("the gateway has heard of the client before the pause was over")
	}
}

// asked is a Gateway that keeps until when requests would wait.
type asked struct {
	Gateway
	until chan time.Time
}

func (a asked) Acquire(ctx context.Context, ask gateway.Ask) (gateway.Lease, error) {
	a.until <- ask.Until
	return a.Gateway.Acquire(ctx, ask)
}

// What a handshake waits for before it is the gateway's takes nothing from the time that
// it may wait for the gateway.
func TestWaitingBeforeTheHoldTime(t *testing.T) {
	until := make(chan time.Time, 10)
	var over time.Time
	w := newWorld(t, greeter(func() {}), func(s *setting) {
		s.alter = func(p *Proxy) { p.opts.Gateway = asked{p.opts.Gateway, until} }
		s.proxy.Waiting = func(http.ResponseWriter, *http.Request) bool {
			for begun := time.Now(); !over.After(begun); over = time.Now() { // until the clock has moved
			}
			return false
		}
	})
	w.socket()
	if got, want := receive(t, "the handshake", until), over.Add(w.proxy.present.Load().Hold.Time); got.Before(want) {
		t.Errorf("it is held until %v before the end of its hold time", want.Sub(got))
	}
}

// A pause ends with its connection, and keeps no end from the client.
func TestPauseEnds(t *testing.T) {
	for name, want := range map[string]int{"creel closes it": closeGoingAway, "the gateway dies": closeServiceRestart} {
		t.Run(name, func(t *testing.T) {
			dies, ended := make(chan struct{}), make(chan struct{})
			script := greeter(func() { t.Error("the gateway hears of the client") })
			if want == closeServiceRestart {
				script = func(p *peer) {
					if h := p.head(); h != nil {
						p.accept(h)
						p.write(string(frame(0x81, false, []byte("first"))))
						<-dies
						p.crash()
					}
				}
			}
			w := newWorld(t, script, func(s *setting) {
				s.proxy.Pause = func(*http.Request) func(<-chan struct{}) {
					return func(over <-chan struct{}) {
						<-over
						close(ended)
					}
				}
			})
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c := w.socket()
			if _, _, err := c.Read(ctx); err != nil {
				t.Fatal(err)
			}
			closed := make(chan error, 1)
			if close(dies); want == closeGoingAway {
				go func() { closed <- w.proxy.CloseTunnels(ctx, closeGoingAway, "creel is stopping") }()
			} else {
				closed <- nil
			}
			if code, reason := closeStatus(t, c); code != want {
				t.Errorf("closed with %d %q, want %d", code, reason, want)
			}
			if err := <-closed; err != nil {
				t.Error(err)
			}
			select {
			case <-ended:
			case <-ctx.Done():
				t.Error("the pause goes on after its connection")
			}
		})
	}
}
