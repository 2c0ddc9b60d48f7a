package gateway

// The actions of the rules. Each is called when the machine is in the rule's new
// state already, changes what else is known, and says what is to be done.

// launch starts an instance because someone wants it: the past is forgotten.
func (m *Machine) launch(e Event) []Effect {
	m.Fruitless, m.Hasty = 0, 0
	return m.begin()
}

// renew starts an instance with a new configuration, of which the fate of those
// before it says nothing.
func (m *Machine) renew(e Event) []Effect {
	if e.Kind == LaunchFailed {
		m.lost(e)
	}
	return m.launch(e)
}

// relaunch starts the next instance in a row.
func (m *Machine) relaunch(e Event) []Effect {
	if e.Kind == LaunchFailed {
		m.lost(e)
	}
	if e.Kind == TimeUp && m.Fruitless >= m.Policy.Fruitless {
		m.Fruitless = m.Policy.Fruitless - 1 // one try; if it is fruitless too: failed again
	}
	return m.begin()
}

func (m *Machine) begin() []Effect {
	m.Begun++
	m.Generation = m.Begun
	m.Epoch++ // a second launch in the same state is a new wait
	m.Asked, m.Launched, m.Killing, m.Then = false, false, false, ThenRetry
	m.WasReady, m.Renewed, m.Shared = false, false, false
	return []Effect{{Kind: Launch}}
}

func (m *Machine) adopt(e Event) []Effect {
	m.own(e)
	m.Then = ThenRetry
	return []Effect{{Kind: Watch}, {Kind: AwaitReady}}
}

// stopFound ends a found instance that should have ended before creel did.
func (m *Machine) stopFound(e Event) []Effect {
	m.Then = ThenStop
	return m.endFound(e)
}

// endFound ends a found instance; Then says already what follows.
func (m *Machine) endFound(e Event) []Effect {
	m.own(e)
	return m.terminateFresh(e)
}

// drainStopFound is stopFound for an instance that others have requests with.
func (m *Machine) drainStopFound(e Event) []Effect {
	m.Then = ThenStop
	return m.drainFound(e)
}

// drainFound is endFound for an instance that others have requests with.
func (m *Machine) drainFound(e Event) []Effect {
	m.own(e)
	return append([]Effect{{Kind: Watch}}, m.drain()...)
}

func (m *Machine) clearFound(e Event) []Effect {
	m.own(e)
	m.Last = e.End
	m.Then = ThenStop
	return m.kill()
}

// own makes a found instance the present one.
func (m *Machine) own(e Event) {
	m.Generation, m.Begun = e.Generation, max(m.Begun, e.Generation)
	m.Launched, m.WasReady, m.Shared = true, false, e.Shared
}

func (m *Machine) awaitReady(Event) []Effect {
	m.Launched = true
	return []Effect{{Kind: Watch}, {Kind: AwaitReady}}
}

func (m *Machine) ready(Event) []Effect {
	m.WasReady, m.Silent, m.Suspicion = true, false, ""
	effects := []Effect{{Kind: Listen}}
	if m.Fruitless > 0 || m.Hasty > 0 {
		effects = append(effects, Effect{Kind: Arm, After: m.Policy.Stable})
	}
	return effects
}

// goOn changes nothing but the state: the launch under way goes on.
func (m *Machine) goOn(Event) []Effect { return nil }

func (m *Machine) forgive(Event) []Effect {
	m.Fruitless, m.Hasty = 0, 0
	return nil
}

func (m *Machine) check(Event) []Effect {
	m.Silent, m.Suspicion = false, "it refused a connection"
	return []Effect{{Kind: Check}}
}

// observe waits for what becomes of an instance that fell silent.
//
// Requests wait meanwhile, as with any suspect. Were they passed on, those that
// must not be sent twice would be lost with an instance that hangs; one that is
// merely slow would not answer them sooner. What speaks for it does not depend on
// new requests: the probe, and the answers under way.
func (m *Machine) observe(e Event) []Effect {
	m.Silent, m.Suspicion = true, e.End.Message
	return []Effect{{Kind: Observe}}
}

// lost counts an instance that ended by itself. That one meant to end excuses
// only an instance which has been ready: else a gateway that starts, wants to be
// started again and so on would do so for ever without a pause. And one that was
// ready for a moment only is counted as hasty, whether or not it has served:
// several of them in a row are started with pauses, but never given up.
func (m *Machine) lost(e Event) {
	m.Last = e.End
	m.Last.Generation = m.Generation
	switch {
	case e.End.Benign && m.WasReady:
		m.Hasty++ // until forgiven for having stayed
	case e.Served:
		m.Fruitless = 0
	default:
		m.Fruitless++
	}
}

func (m *Machine) clearCrashed(e Event) []Effect {
	m.lost(e)
	m.Then = ThenRetry
	return m.kill()
}

// replaceSilent ends an instance that does not answer: in good order if it can
// be had soon, since requests wait for its successor.
func (m *Machine) replaceSilent(e Event) []Effect {
	m.lost(e)
	m.Then = ThenRetry
	m.Killing = false
	return []Effect{{Kind: Terminate}, {Kind: Arm, After: min(m.Policy.Grace, m.Policy.SilentGrace)}}
}

func (m *Machine) terminate(Event) []Effect {
	m.Killing = false
	return []Effect{{Kind: Terminate}, {Kind: Arm, After: m.Policy.Grace}}
}

func (m *Machine) terminateFresh(e Event) []Effect {
	m.Launched = true
	return append([]Effect{{Kind: Watch}}, m.terminate(e)...)
}

func (m *Machine) terminateToStop(e Event) []Effect {
	m.thenStop(e)
	return m.terminate(e)
}

func (m *Machine) terminateToStart(e Event) []Effect {
	m.thenStart(e)
	return m.terminate(e)
}

// clear ends what is left, once the main process has ended or its grace is over.
func (m *Machine) clear(e Event) []Effect {
	m.noteEnd(e)
	return m.kill()
}

// clearUnasked is clear for an instance that ended before it was asked to.
func (m *Machine) clearUnasked(e Event) []Effect {
	m.Last = e.End
	m.Last.Generation = m.Generation
	return m.kill()
}

// noteEnd keeps how the main process ended, unless it is known already why.
func (m *Machine) noteEnd(e Event) []Effect {
	if e.Kind != Exited || m.Last.Generation == m.Generation {
		return nil
	}
	m.Last = e.End
	m.Last.Generation = m.Generation
	if m.Then != ThenRetry {
		m.Last.Cause, m.Last.Message, m.Last.Hint, m.Last.Benign = CauseAsked, endedAsAsked, "", true
	}
	return nil
}

func (m *Machine) kill() []Effect {
	m.Killing = true
	m.Epoch++ // the grace timer is void
	return []Effect{{Kind: Kill}}
}

func (m *Machine) killLater(Event) []Effect {
	m.Killing = false
	return []Effect{{Kind: Arm, After: m.Policy.KillRetry}}
}

func (m *Machine) drainToStop(e Event) []Effect {
	m.thenStop(e)
	return m.drain()
}

func (m *Machine) drainToStart(e Event) []Effect {
	m.thenStart(e)
	return m.drain()
}

func (m *Machine) drain() []Effect {
	return []Effect{{Kind: Drain}, {Kind: Arm, After: m.Policy.Drain}}
}

func (m *Machine) thenStop(Event) []Effect {
	m.Then, m.Asked = ThenStop, true
	return nil
}

func (m *Machine) thenStart(Event) []Effect {
	m.Then, m.Asked = ThenStart, false
	return nil
}

func (m *Machine) callOff(e Event) []Effect {
	m.thenStop(e)
	return []Effect{{Kind: CallOff}}
}

func (m *Machine) callOffToStart(e Event) []Effect {
	m.thenStart(e)
	return []Effect{{Kind: CallOff}}
}

// wantAgain takes back a stop, or says what is so already.
func (m *Machine) wantAgain(e Event) []Effect {
	if m.Then == ThenStop {
		m.thenStart(e)
	}
	return nil
}

func (m *Machine) noteRenewed(Event) []Effect {
	m.Renewed = true
	return nil
}

func (m *Machine) noteAsked(Event) []Effect {
	m.Asked = true
	return nil
}

func (m *Machine) rest(Event) []Effect {
	m.Fruitless, m.Hasty = 0, 0
	return nil
}

func (m *Machine) pause(e Event) []Effect {
	if e.Kind == LaunchFailed {
		m.lost(e)
	}
	d := max(m.Policy.Pause(m.Fruitless, e.Roll), m.Policy.Pause(m.Hasty, e.Roll))
	m.NextStart = e.At.Add(d)
	return []Effect{{Kind: Arm, After: d}}
}

func (m *Machine) giveUp(e Event) []Effect {
	if e.Kind == LaunchFailed {
		m.lost(e)
	}
	if m.Last.Permanent || m.Policy.RetryFailed == 0 {
		return nil
	}
	m.NextStart = e.At.Add(m.Policy.RetryFailed)
	return []Effect{{Kind: Arm, After: m.Policy.RetryFailed}}
}

func (m *Machine) thenYield(e Event) []Effect {
	m.Then, m.Yield = ThenYield, e.End
	return nil
}

func (m *Machine) drainToYield(e Event) []Effect {
	m.thenYield(e)
	return m.drain()
}

func (m *Machine) terminateToYield(e Event) []Effect {
	m.thenYield(e)
	return m.terminate(e)
}

func (m *Machine) callOffToYield(e Event) []Effect {
	m.thenYield(e)
	return []Effect{{Kind: CallOff}}
}

// yieldOn takes note of another reason why it must not run here.
func (m *Machine) yieldOn(e Event) []Effect {
	m.Last = e.End
	m.Last.Generation = m.Generation
	return nil
}

// giveWay waits until it may run here again. That it may not is no failure of an
// instance, and says nothing of the next one.
func (m *Machine) giveWay(e Event) []Effect {
	m.Last = m.Yield
	if e.Kind == LaunchFailed && e.End.Cause.Unowned() {
		m.Last = e.End
	}
	m.Last.Generation = m.Generation
	m.Fruitless, m.Hasty = 0, 0
	return nil
}
