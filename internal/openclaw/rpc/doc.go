// Package rpc talks to a running OpenClaw gateway: one WebSocket, opened
// directly to the gateway's loopback address and kept open, on which creel logs
// in as the management client "gateway-client" in mode "backend".
//
// What is written here as a fact was recorded from OpenClaw 2026.9.6; the
// recordings are in rpctest/recorded, and the test with the build tag e2e compares them
// with the real one.
//
// # What it guarantees
//
//   - One connection at a time, to the instance that Attend named last. What an
//     earlier instance says late is dropped: frames, replies and ends belong to
//     the connection they came by (I3).
//   - A call ends with its reply, with a typed error, or with its context; none
//     takes longer than CallTimeout (I8). A call is sent once. If the connection
//     is lost before the reply, the outcome is not known and *LostError says so:
//     whether the call may be repeated is the caller's to judge.
//   - Lost connections are made anew, with growing pauses that start small; the
//     pause that the gateway asks for (retryAfterMs) is honoured. An instance
//     that has ended is not tried any more.
//   - The gateway's boot id is compared with each login: a gateway that has
//     restarted within its process is noticed though its process has not changed.
//   - The token goes into the login frame and nowhere else (I7): not into a URL, a
//     header, an argument, an error or a log line.
//   - Nobody waits for anybody slow. The owner goroutine never blocks; frames to
//     be sent and events to be read are in bounded queues. A full one refuses the
//     call (*BusyError) or drops the event and counts it.
//   - Close returns when all goroutines have ended.
//
// # Why no device and no headers
//
// The gateway gives a client without a device identity the scopes that it asks
// for only if it takes it for local: from a loopback address, without Origin and
// without any header of a proxy. Otherwise it answers "hello-ok" all the same,
// with no scopes; that is an error here (*ScopeError), not a surprise of the first
// call. A device would have to be paired, and would be one more in the user's
// list.
//
// # What was rejected
//
//   - The gateway's own command line for each call: 3.4 s and a second of two
//     cores (measured, idle machine) for what takes a millisecond here, and a
//     token or a device of its own. For that reason "gateway restart-handoff
//     consume" is not used either: the shutdown event tells a restart from a stop
//     before the process ends, and where it was not heard the gateway's output
//     says the same (openclaw.ExitCause).
//   - Polling /readyz for what the hello and events say.
//   - "gateway.suspend.handoff" before a planned stop: with it the gateway drains
//     45 s before it aborts turns, longer than the default grace; without it a
//     turn that is killed is resumed on the next boot just the same.
package rpc
