// Package probe finds out whether an instance can serve.
//
// A Probe looks once. Wait looks until it holds, at a Pace that releases
// waiting requests within a few milliseconds of the instance being ready and
// costs next to nothing before.
//
// # What it guarantees
//
//   - A check ends: with its own deadline, with its context, or when the
//     instance dies (Target.Done), whichever is first. An instance that
//     accepts connections and then says nothing costs one check, not the wait.
//   - A check reads a bounded amount, whatever it is sent, and leaves nothing
//     behind: no connection, no process, no goroutine.
//   - A failure says what was seen ("GET /readyz answered 503: …"), without
//     secrets, and by its Verdict whether nothing listens, something says no,
//     or something says nothing. Those call for different measures.
//   - HTTP checks carry no Forwarded or X-Forwarded-… header and no
//     credentials, and each has a connection of its own, so that an answer is
//     never that of a connection to an earlier instance.
//
// # What it refuses
//
//   - To follow redirects: where they lead may be another server. A redirect
//     is judged by its status.
//   - To call an open port ready if more is known of the app. Many apps listen
//     long before they can serve.
//
// # What was rejected
//
//   - net/http's client: a pool, two goroutines for each connection, and
//     redirects, cookies and proxies to be switched off, for one line out and
//     one line in.
//   - Backoff between checks: it is what makes others release their waiting
//     requests 100 ms late. A refused dial on the loopback interface costs
//     tens of µs, so one every 2 ms takes a few per cent of one core, for as long as a
//     start lasts, and less than a tenth of it in its first half second.
//   - Go's timers for the pauses: on an idle machine they count in milliseconds, which
//     made each pause a millisecond longer than it was to be.
//   - Waiting for the port with inotify or netlink: no portable event says
//     that a socket has begun to listen.
package probe
