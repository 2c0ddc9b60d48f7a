// Package chaos kills creel, the gateway, or both, at every moment that matters
// and at moments of chance, under a load of requests of all kinds, and looks at
// what is left.
//
// # What it shows
//
// TestMatrix kills at each passage of each point of internal/crashpoint, in each
// scenario that gets there: a crash of the gateway, a restart, stop and start, a
// restart of creel, an upgrade (either side of it), one that fails, and so on.
// The points of a scenario are found out by running it once without a death;
// TestMatrix fails if there is a point that no scenario passes. TestStateMatrix is
// the same for a gateway with a state, which is captured, lost, and restored.
// TestRandom kills
// at random moments instead. A loop, as a service manager has one, starts creel
// again whenever none is left. After each round:
//
//   - one creel and one instance of the gateway run: by process table, cgroup,
//     record, ports, and by the lock that every crashgw holds while it lives;
//   - creel's open files are those of the first round, none of its sockets is
//     left over, its data folder holds what it is to hold, the gateway has none
//     of creel's files;
//   - what clients saw is true: each request that may be repeated was answered,
//     each other one was executed at most once and, if it was acknowledged,
//     exactly once (ledger); a request may fail only while no creel is up, or
//     with a code that the round explains; a WebSocket is told why it ends;
//   - the history of the gateway's store is linearizable (history_test.go);
//   - no two instances lived at the same time (lives_test.go);
//   - the journal tells one life after the other (journal_test.go);
//   - a state is one that the round allows, whole; every snapshot can be listed
//     and read back and is of one instant; of a restore nothing is left but what
//     its journal names; the journal says how another state has come
//     (state_test.go);
//   - status, /_creel/status and /_creel/readyz say what is so.
//
// TestChecker… shows that each of these checks can fail on histories made by hand,
// TestBroken… on creels and gateways that are broken on purpose.
//
// # Reproducing
//
// A round that fails prints the command that repeats it, and leaves the history
// of its world in the folder artifacts, or in that of -chaos.artifacts. What a
// seed fixes is what is done and asked; how the operating system orders it is not.
package chaos
