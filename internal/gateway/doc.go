// Package gateway keeps one gateway alive. It alone decides when an instance is
// started, asked to end, killed or given up; everybody else asks.
//
// A Supervisor consists of
//
//   - a Machine: what is known of the gateway, and rules that are data. It is
//     pure: an event goes in, effects come out (rules.go, actions.go; printed in
//     docs/states.md);
//   - one goroutine, Run, that owns the machine, feeds it and begins effects. It
//     never waits: what takes time is a task whose result comes back as an event
//     (supervisor.go, effects.go);
//   - a broker, which hands out leases on the present instance or lets requests
//     wait (broker.go, lease.go).
//
// # What it guarantees
//
//   - One instance at a time (I1). A launch is begun only where nothing is left
//     of the instance before: the rules lead to Launch only from states that are
//     entered by Gone or by a launch that failed. A kill that does not succeed is
//     tried again for ever rather than passed over. Before each launch the
//     runtime is asked once more whether an instance is recorded; what runs is
//     taken over, and while it cannot be told nothing is started (findLeft). No
//     request starts anything before creel has looked for the first time
//     (reconcile).
//   - What must not run here, since another machine runs it or may (LeaseLost), is
//     stopped, and nobody's intent is changed by that: it starts again with LeaseHeld.
//     Package owner says when; the Keeper refuses launches meanwhile.
//   - A request waits while its gateway can be brought back within its hold time
//     (its part of I2), and one that gets *Unavailable has not reached the
//     gateway. However many requests meet a crash, one instance is launched. The
//     end of the process, or the first refused connection, closes the instance
//     for all (broker.lost). A request that was in flight in SuspectAfter crashes
//     running goes first, and the others wait until it has proved harmless.
//   - What belongs to the past changes nothing (I3). Results of an instance carry
//     its generation, results of a wait the epoch in which it was begun;
//     Machine.stale drops the others before any rule is looked at. Generations
//     never repeat, since each is on disk before anything is done with it
//     (Supervisor.start, intent.go). Whether an instance crashed or was asked to
//     end is decided once, by what came first (instance.fate).
//   - The files of a gateway are replaced only while no instance runs and none is
//     started (I4): by Keeper.Prepare, which each launch calls first, and which is
//     given the proof (Stillness). Nothing is launched if it fails. Whoever needs
//     the files not to change for a moment (I5) asks for that (Still): the
//     instance is frozen, or none is launched meanwhile; a deadline thaws it.
//   - The death or the upgrade of creel does not end the gateway (I6). Leave lets
//     it run; the next Supervisor takes it over, clears away what has died
//     meanwhile, and has the numbers go on (reconcile.go).
//   - Of two candidates the recorded one is kept (stray.go). What runs in the
//     gateway's name beside it, as after an older copy of the data folder was put
//     in place, is told in the journal and in the status, and left alone for as
//     long as the recorded one is of use: creel does not guess which of them holds
//     the state that matters. Once the recorded one is gone, by whatever way, the
//     strays are ended before anything relies on nothing running: before the state
//     is put in place, and before the next launch. So there are never more than
//     the two that were found, and never two of which creel has started one (I1).
//     A launch whose strays cannot be ended fails.
//   - A false alarm about an instance that does not answer is all but impossible
//     (monitor.go, package liveness): it takes several signs, for a time that is
//     counted only while creel and the instance could run, and any sign of life
//     ends it. What it was found doing is in the journal before it is ended.
//   - What an earlier creel has frozen is thawed as soon as it is found.
//   - A person's stop lasts: over a restart of creel, and even if creel died in
//     the midst of it. An instance that is found running though it was to stop is
//     ended, not adopted: the person may have begun to rely on its being stopped,
//     and one that stands still by mistake is back with one command.
//     That creel's first look has failed does not change that: it looks again (relook.go).
//   - A restart that was asked for lasts likewise: the instance that was to be replaced,
//     and is found, is ended (intent.Replace).
//   - Who ends an instance in good order waits for the requests that a creel still has with
//     it which has handed it over and drains (shared.go). Of those of a creel that has died
//     nothing is left.
//   - Nothing waits for ever (I8). Each state but stopped, ready and failed has a
//     timer, a probe, a launch or a kill under way that ends it; the property test
//     checks that after every event. Launches, looks, probes, drains, graces and
//     kills have deadlines, requests their hold time, and each end is written to
//     the journal (note.go).
//   - Leave and Close return when all goroutines of the Supervisor have ended.
//
// It relies on its runtime, prober and plan to return when their context ends,
// and on the journal not to block.
//
// # What it refuses
//
//   - To start a gateway whose number or record cannot be written down, or of
//     which it cannot be told whether it runs. While the disk is full it waits,
//     and starts as soon as there is room (patiently). To start with the number
//     in memory was considered: if creel died then, the next one would not know
//     of the instance, and where there are no cgroups would start a second.
//   - To kill anything on the word of a record that cannot be trusted.
//   - To try for ever: Policy.Fruitless instances in a row that ended before they
//     had answered a request are a crash loop. Requests are then refused with the
//     reason and the time of the next try. An instance that says it ended in order
//     to be started again is excused only if it had been ready; several in a row
//     that had been so for less than Policy.Stable are started with pauses.
//   - To start, for a request, what a person has stopped.
//
// # What was rejected
//
//   - Locks in place of an owner goroutine. The order of restore, start, ready,
//     drain and stop is the point of this package; with locks it would be spread
//     over whoever comes first, and each new wait would be held under a lock or
//     need a look at what changed meanwhile. Leases alone are handed out under a
//     lock, or by three atomic operations, since they are taken with each request.
//   - Deciding in the proxy, by the failing request. A hundred of them fail at
//     once, each knows only its own connection, and those that come late would
//     restart what has been restarted already.
//   - Polling, for exits, for readiness of the next instance or for the end of a
//     drain: it is late by half its interval, on average, with every crash. A hang
//     alone is found by asking again and again, as it is no event of anything.
//   - Passing requests on to an instance that is suspected of silence: see
//     Machine.observe.
//   - Timeouts inside effects in place of timers of the machine: what follows
//     from a timeout would be decided outside the rules.
//   - Contexts of requests for starts. One client that leaves must not call off a
//     start for which others wait.
package gateway
