package gateway

// rule is one legal transition: in state from, on event on, if the guard holds,
// go to state to and do what do says. The first rule that fits is taken; an
// event that no rule fits is of no consequence in that state.
type rule struct {
	from State
	on   EventKind
	when guard
	to   State
	do   func(m *Machine, e Event) []Effect
}

// guard is a condition with a name, for the diagram.
type guard struct {
	name  string
	holds func(m *Machine, e Event) bool
}

var (
	always         = guard{}
	notAsked       = guard{"nobody asked for it to stop", func(m *Machine, _ Event) bool { return !m.Asked }}
	asked          = guard{"somebody asked for it to stop", func(m *Machine, _ Event) bool { return m.Asked }}
	launched       = guard{"its command runs", func(m *Machine, _ Event) bool { return m.Launched }}
	launching      = guard{"its command does not run yet", func(m *Machine, _ Event) bool { return !m.Launched }}
	unwanted       = guard{"its command does not run yet, and the launch was called off", func(m *Machine, _ Event) bool { return !m.Launched && m.Then != ThenRetry }}
	sharing        = guard{"its command runs, and a creel that drains may use it", func(m *Machine, _ Event) bool { return m.Launched && m.Shared }}
	askedShared    = guard{"somebody asked for it to stop, and a creel that drains may use it", func(m *Machine, e Event) bool { return m.Asked && e.Shared }}
	unwantedShared = guard{"its command does not run yet, the launch was called off, and a creel that drains may use it", func(m *Machine, e Event) bool { return unwanted.holds(m, e) && e.Shared }}
	calledOff      = guard{"it is no longer wanted", func(m *Machine, _ Event) bool { return m.Then == ThenStop }}
	replaced       = guard{"another one is wanted", func(m *Machine, _ Event) bool { return m.Then == ThenStart }}
	toStop         = guard{"stop was asked for", func(m *Machine, _ Event) bool { return m.Then == ThenStop }}
	toStart        = guard{"start was asked for", func(m *Machine, _ Event) bool { return m.Then == ThenStart }}
	staying        = guard{"it is not to stop already", func(m *Machine, _ Event) bool { return m.Then == ThenRetry || m.Then == ThenStart }}
	yields         = guard{"it must not run here", func(m *Machine, e Event) bool {
		return m.Then == ThenYield || e.Kind == LaunchFailed && e.End.Cause.Unowned()
	}}
	yielded  = guard{"it must not have run here", func(m *Machine, _ Event) bool { return m.Last.Cause.Unowned() }}
	renewed  = guard{"its configuration has changed since", func(m *Machine, _ Event) bool { return m.Renewed }}
	hopeless = guard{"starting it again cannot help, or it is a crash loop", func(m *Machine, e Event) bool {
		end := m.Last
		if e.Kind == LaunchFailed {
			end = e.End
		}
		return end.Permanent || m.fruitlessAfter(e) >= m.Policy.Fruitless
	}}
	paused  = guard{"the policy wants a pause", func(m *Machine, e Event) bool { return m.pauseAfter(e) > 0 }}
	killing = guard{"what is left is being killed", func(m *Machine, _ Event) bool { return m.Killing }}
)

// rules are all legal transitions.
var rules = []rule{
	{Stopped, Demand, notAsked, Starting, (*Machine).launch},
	{Stopped, AskStart, always, Starting, (*Machine).launch},
	{Stopped, AskRestart, always, Starting, (*Machine).launch},
	{Stopped, AskStop, always, Stopped, (*Machine).noteAsked},
	// A person's stop that was cut short by creel's death is carried out: what
	// that person does next may rely on it (mend the state, move the folder),
	// and a gateway that is stopped too much is started again by one command.
	{Stopped, Found, askedShared, Draining, (*Machine).drainStopFound},
	{Stopped, Found, asked, Stopping, (*Machine).stopFound},
	{Stopped, Found, always, Starting, (*Machine).adopt},
	{Stopped, FoundDead, always, Stopping, (*Machine).clearFound},

	{Starting, RestoreBegun, launching, Restoring, (*Machine).goOn},
	{Starting, Launched, calledOff, Stopping, (*Machine).terminateFresh},
	{Starting, Launched, replaced, Stopping, (*Machine).terminateFresh},
	{Starting, Launched, yields, Stopping, (*Machine).terminateFresh},
	{Starting, Launched, always, Starting, (*Machine).awaitReady},
	{Starting, LaunchFailed, calledOff, Stopped, (*Machine).rest},
	{Starting, LaunchFailed, replaced, Starting, (*Machine).launch},
	{Starting, LaunchFailed, yields, Failed, (*Machine).giveWay},
	{Starting, LaunchFailed, renewed, Starting, (*Machine).renew},
	{Starting, LaunchFailed, hopeless, Failed, (*Machine).giveUp},
	{Starting, LaunchFailed, paused, Backoff, (*Machine).pause},
	{Starting, LaunchFailed, always, Starting, (*Machine).relaunch},
	{Starting, Found, unwantedShared, Draining, (*Machine).drainFound},
	{Starting, Found, unwanted, Stopping, (*Machine).endFound},
	{Starting, Found, launching, Starting, (*Machine).adopt},
	{Starting, Answered, always, Ready, (*Machine).ready},
	{Starting, Unanswered, always, Stopping, (*Machine).replaceSilent},
	{Starting, Exited, always, Stopping, (*Machine).clearCrashed},
	{Starting, AskStop, sharing, Draining, (*Machine).drainToStop},
	{Starting, AskStop, launched, Stopping, (*Machine).terminateToStop},
	{Starting, AskStop, always, Starting, (*Machine).callOff},
	{Starting, AskStart, always, Starting, (*Machine).wantAgain},
	{Starting, AskRestart, sharing, Draining, (*Machine).drainToStart},
	{Starting, AskRestart, launched, Stopping, (*Machine).terminateToStart},
	{Starting, AskRestart, always, Starting, (*Machine).callOffToStart},
	{Starting, LeaseLost, sharing, Draining, (*Machine).drainToYield},
	{Starting, LeaseLost, launched, Stopping, (*Machine).terminateToYield},
	{Starting, LeaseLost, staying, Starting, (*Machine).callOffToYield},
	{Starting, ConfigNew, always, Starting, (*Machine).noteRenewed},

	{Restoring, RestoreEnded, always, Starting, (*Machine).goOn},
	{Restoring, LaunchFailed, calledOff, Stopped, (*Machine).rest},
	{Restoring, LaunchFailed, replaced, Starting, (*Machine).launch},
	{Restoring, LaunchFailed, yields, Failed, (*Machine).giveWay},
	{Restoring, LaunchFailed, renewed, Starting, (*Machine).renew},
	{Restoring, LaunchFailed, hopeless, Failed, (*Machine).giveUp},
	{Restoring, LaunchFailed, paused, Backoff, (*Machine).pause},
	{Restoring, LaunchFailed, always, Starting, (*Machine).relaunch},
	{Restoring, AskStop, always, Restoring, (*Machine).callOff},
	{Restoring, AskStart, always, Restoring, (*Machine).wantAgain},
	{Restoring, AskRestart, always, Restoring, (*Machine).callOffToStart},
	{Restoring, LeaseLost, staying, Restoring, (*Machine).callOffToYield},
	{Restoring, ConfigNew, always, Restoring, (*Machine).noteRenewed},

	{Ready, Exited, always, Stopping, (*Machine).clearCrashed},
	{Ready, Reported, always, Suspect, (*Machine).check},
	{Ready, Silent, always, Suspect, (*Machine).observe},
	{Ready, TimeUp, always, Ready, (*Machine).forgive},
	{Ready, AskStop, always, Draining, (*Machine).drainToStop},
	{Ready, AskRestart, always, Draining, (*Machine).drainToStart},
	{Ready, LeaseLost, always, Draining, (*Machine).drainToYield},
	{Ready, ConfigNew, always, Ready, (*Machine).noteRenewed},

	{Suspect, Answered, always, Ready, (*Machine).ready},
	{Suspect, Unanswered, always, Stopping, (*Machine).replaceSilent},
	{Suspect, Exited, always, Stopping, (*Machine).clearCrashed},
	{Suspect, AskStop, always, Draining, (*Machine).drainToStop},
	{Suspect, AskRestart, always, Draining, (*Machine).drainToStart},
	{Suspect, LeaseLost, always, Draining, (*Machine).drainToYield},
	{Suspect, ConfigNew, always, Suspect, (*Machine).noteRenewed},

	{Draining, Drained, always, Stopping, (*Machine).terminate},
	{Draining, TimeUp, always, Stopping, (*Machine).terminate},
	{Draining, Exited, always, Stopping, (*Machine).clearUnasked},
	{Draining, AskStop, always, Draining, (*Machine).thenStop},
	{Draining, AskStart, always, Draining, (*Machine).thenStart},
	{Draining, AskRestart, always, Draining, (*Machine).thenStart},
	{Draining, LeaseLost, staying, Draining, (*Machine).thenYield},

	{Stopping, Exited, killing, Stopping, (*Machine).noteEnd},
	{Stopping, Exited, always, Stopping, (*Machine).clear},
	{Stopping, TimeUp, always, Stopping, (*Machine).clear},
	{Stopping, NotGone, always, Stopping, (*Machine).killLater},
	{Stopping, Gone, toStop, Stopped, (*Machine).rest},
	{Stopping, Gone, toStart, Starting, (*Machine).launch},
	{Stopping, Gone, yields, Failed, (*Machine).giveWay},
	{Stopping, Gone, renewed, Starting, (*Machine).renew},
	{Stopping, Gone, hopeless, Failed, (*Machine).giveUp},
	{Stopping, Gone, paused, Backoff, (*Machine).pause},
	{Stopping, Gone, always, Starting, (*Machine).relaunch},
	{Stopping, AskStop, always, Stopping, (*Machine).thenStop},
	{Stopping, AskStart, always, Stopping, (*Machine).thenStart},
	{Stopping, AskRestart, always, Stopping, (*Machine).thenStart},
	{Stopping, LeaseLost, staying, Stopping, (*Machine).thenYield},
	{Stopping, ConfigNew, always, Stopping, (*Machine).noteRenewed},

	{Backoff, TimeUp, always, Starting, (*Machine).relaunch},
	{Backoff, AskStart, always, Starting, (*Machine).launch},
	{Backoff, AskRestart, always, Starting, (*Machine).launch},
	{Backoff, ConfigNew, always, Starting, (*Machine).launch},
	{Backoff, AskStop, always, Stopped, (*Machine).noteAsked},

	{Failed, TimeUp, always, Starting, (*Machine).relaunch},
	{Failed, AskStart, always, Starting, (*Machine).launch},
	{Failed, AskRestart, always, Starting, (*Machine).launch},
	{Failed, LeaseLost, yielded, Failed, (*Machine).yieldOn},
	{Failed, LeaseHeld, yielded, Starting, (*Machine).launch},
	{Failed, ConfigNew, always, Starting, (*Machine).launch},
	{Failed, AskStop, always, Stopped, (*Machine).noteAsked},
}
