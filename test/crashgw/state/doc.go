// Package state is the state of crashgw: several SQLite databases and files that
// change together, as fast as the machine can, in a way that betrays every copy
// that is not of one instant.
//
// # The invariant
//
// A logical transaction with number n is a fixed list of steps (see steps in
// writer.go), each of which puts n into another place: three databases (two with a
// write-ahead log, one with a rollback journal), a JSON file replaced by
// rename, a line appended to a JSON-lines file, two blocks far apart in one file
// that is written in place, a file that is truncated first, a file created
// and another one deleted, and a counter in a shared mapping. One thread takes
// the steps in order, and each of them takes effect by one system call or one
// store, or, in a database, by one commit. So at every instant the places, in the order
// of the steps, hold
//
//	n, …, n, n-1, …, n-1
//
// with the border anywhere: they never increase, and the first is at most one
// more than the last. A copy of one instant, opened as after a crash, has this
// property whenever the instant was. A copy made file by file of a state
// that goes on for more than one transaction meanwhile has not: a place that
// is read later holds more than one that comes before it, or the distance is
// greater than one.
//
// Check tells. It also has each database check itself.
package state
