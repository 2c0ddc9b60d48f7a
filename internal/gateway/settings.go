package gateway

import (
	"context"
	"time"
)

// Settings are what may change while the gateway lives.
type Settings struct {
	Policy       Policy
	ReadyTimeout time.Duration
	AliveTimeout time.Duration
	HoldRequests int
	Hang         Hang
	OnDemand     bool
	// Reprobe says that the prober's conditions are others: a probe under way
	// is begun anew. What time the instance has had already counts.
	Reprobe bool
}

func (o *Options) settings() *Settings {
	return &Settings{Policy: o.Policy, ReadyTimeout: o.ReadyTimeout, AliveTimeout: o.AliveTimeout, HoldRequests: o.HoldRequests, Hang: o.Hang, OnDemand: o.OnDemand}
}

// Configure has other settings count from now on. A pause, a drain or a grace
// that has begun keeps its length; a probe is begun anew if its time has changed.
// A gateway that nobody has asked for is started if it is no longer to wait for
// a request. It returns when all that has been taken note of.
func (s *Supervisor) Configure(ctx context.Context, set Settings) error {
	_, err := s.send(ctx, message{settings: &set})
	return err
}

// configure is Configure in the goroutine that owns the machine.
func (s *Supervisor) configure(set *Settings) {
	before := s.live.Swap(set)
	s.machine.Policy = set.Policy
	s.broker.bound(set.HoldRequests)
	if before.Hang != set.Hang {
		switch {
		case s.machine.State == Ready:
			s.do(Effect{Kind: Listen})
		case s.machine.State == Suspect && s.machine.Silent:
			s.do(Effect{Kind: Observe})
		}
	}
	if set.Reprobe || before.ReadyTimeout != set.ReadyTimeout || before.AliveTimeout != set.AliveTimeout {
		switch {
		case s.machine.State == Starting && s.machine.Launched:
			s.do(Effect{Kind: AwaitReady})
		case s.machine.State == Suspect && !s.machine.Silent:
			s.do(Effect{Kind: Check})
		}
	}
	if !set.OnDemand && s.machine.State == Stopped && !s.machine.Asked {
		s.take(message{Event: Event{Kind: AskStart}})
	}
}
