// Package crashpoint names the moments at which the death of creel, or of the
// gateway, is most likely to leave something half done: before and after each
// change of what outlives creel (files, cgroups, processes, who is in charge).
//
// Code that makes such a change says so by calling Passed. Tests kill at each of
// the points in turn and look at what is left (test/chaos, the tests of
// internal/runtime/process).
//
// # What it guarantees
//
//   - A creel of users cannot be told to die here. Only Arm gives the points an
//     effect; no program but test binaries calls it, so that the linker leaves it
//     out of creel, which TestProductionCannotBeArmed checks. No variable of the
//     environment, flag or file is looked at.
//   - A point that is not armed costs one load and one comparison. Points are
//     passed a few times in the life of an instance, never with a request.
//   - There is one list, All. The kill matrix fails if it does not get to a point
//     that stands in it, and Passed panics, once armed, at a point that does not.
//
// # How to add a point
//
// Add a constant, put it into All, call Passed at that place. The matrix of
// test/chaos finds out by itself in which of its scenarios the point is passed,
// and kills there; if none of them gets there, it fails and wants a scenario.
//
// Rejected: build tags (what is tested would be another program than what is
// shipped, and `go test ./...` would test nothing), a variable of the
// environment (a switch that kills creel in the hands of whoever can set it),
// hooks handed down through the options of every package (a new point would
// change the signatures of all packages above).
package crashpoint

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// Point is a moment, named after what has just been done.
type Point string

// The points. What is named is done; what comes next is not.
const (
	LockTaken   Point = "lock.taken"   // the lock on the data folder is held, and not signed yet
	LockSigned  Point = "lock.signed"  // the file says who holds it
	SocketBound Point = "socket.bound" // the control socket exists, and nobody answers yet

	JournalOpened Point = "journal.opened" // what an earlier creel left torn is mended
	IntentWritten Point = "intent.written" // the generation, or a person's stop, is on disk

	ProcessGrouped   Point = "process.grouped"   // the cgroup exists, empty
	ProcessLaunched  Point = "process.launched"  // the launcher waits; nothing is recorded
	RecordPrepared   Point = "record.prepared"   // the record is written beside its place
	ProcessRecorded  Point = "process.recorded"  // the record is durable; the launcher still waits
	ProcessReleased  Point = "process.released"  // the command runs
	GatewayReady     Point = "gateway.ready"     // it has answered; nobody was told
	GatewayFound     Point = "gateway.found"     // an instance of an earlier creel, or what is left of it
	GatewayAdopted   Point = "gateway.adopted"   // it has answered this creel
	GatewayEnded     Point = "gateway.ended"     // its main process is dead; nothing was cleared away
	GatewayTermed    Point = "gateway.termed"    // it was asked to end
	ProcessKilled    Point = "process.killed"    // all its processes are dead
	ProcessUngrouped Point = "process.ungrouped" // its cgroups are gone
	RecordRemoved    Point = "record.removed"    // nothing of it is left
	RecordSetAside   Point = "record.set-aside"  // a record that is refused has another name

	LogCopied  Point = "log.copied"  // the gateway's output is copied beside its place
	LogShifted Point = "log.shifted" // the copy has its name; the log itself is still full
	LogEmptied Point = "log.emptied"

	InstanceFrozen Point = "instance.frozen" // no process of it runs
	InstanceThawed Point = "instance.thawed" // it goes on

	SnapshotCopied   Point = "snapshot.copied"   // what is quiet is copied; the gateway runs
	SnapshotCut      Point = "snapshot.cut"      // the copy is of one instant, and durable
	SnapshotStored   Point = "snapshot.stored"   // the store has it
	SnapshotRecorded Point = "snapshot.recorded" // the state is known to have grown from it
	SnapshotMarked   Point = "snapshot.marked"   // a sample was read back, and the store knows

	StateWished   Point = "state.wished"   // a restore that a person asked for is on disk
	StatePlanned  Point = "state.planned"  // so is what will be known of the state to come
	StateReplaced Point = "state.replaced" // what is known is of the state that is in place
	StateProved   Point = "state.proved"   // an instance is ready on it, and that is on disk

	RestoreStaging     Point = "restore.staging"      // it is written down; no folder exists yet
	RestoreWritten     Point = "restore.written"      // all files are written
	RestoreStaged      Point = "restore.staged"       // and checked
	RestoreDiscarded   Point = "restore.discarded"    // what was staged for a root is gone; it is written down still
	RestoreSwapping    Point = "restore.swapping"     // it is written down; nothing has moved
	RestoreExchanged   Point = "restore.exchanged"    // two folders have each other's name
	RestoreRenamed     Point = "restore.renamed"      // a folder, or what is in one, has another name
	RestoreRootSwapped Point = "restore.root-swapped" // a root is the new one, durably
	RestoreOnTrial     Point = "restore.on-trial"     // all are, and it is written down
	RestoreConfirmed   Point = "restore.confirmed"    // it is forgotten; what is not needed lies there still
	RestoreUndoing     Point = "restore.undoing"      // it is written down; nothing has moved back
	RestoreRootBack    Point = "restore.root-back"    // a root is the old one again, durably
	RestoreUndone      Point = "restore.undone"       // all are, and it is written down
	RestoreDoomed      Point = "restore.doomed"       // what is to be removed is written down
	RestoreRemoved     Point = "restore.removed"      // a folder is removed; it is written down still

	UpgradeStarted   Point = "upgrade.started"   // old: the successor was started
	UpgradeInherited Point = "upgrade.inherited" // new: it has lock and listener
	UpgradePrepared  Point = "upgrade.prepared"  // old: has heard that the new one can work
	UpgradeLeft      Point = "upgrade.left"      // old: nobody is in charge of the gateway
	UpgradeTold      Point = "upgrade.told"      // old: the new one may go on
	UpgradeSigned    Point = "upgrade.signed"    // new: the lock's file names it
	UpgradeSettled   Point = "upgrade.settled"   // new: has the gateway; the old one does not know
	UpgradeReady     Point = "upgrade.ready"     // new: has told the old one
	UpgradeHeard     Point = "upgrade.heard"     // old: knows that the new one is in charge
	UpgradeDrained   Point = "upgrade.drained"   // old: its last connection has ended
	UpgradeAbandoned Point = "upgrade.abandoned" // old: has ended a successor that failed
	UpgradeReclaimed Point = "upgrade.reclaimed" // old: is in charge again

	CreelStopping Point = "creel.stopping" // creel was asked to end
	CreelStopped  Point = "creel.stopped"  // the gateway is stopped; creel's connections are open
)

// All are the points, in about the order of a life.
var All = []Point{
	LockTaken, LockSigned, SocketBound, JournalOpened, IntentWritten,
	ProcessGrouped, ProcessLaunched, RecordPrepared, ProcessRecorded, ProcessReleased,
	GatewayReady, GatewayFound, GatewayAdopted, GatewayEnded, GatewayTermed,
	ProcessKilled, ProcessUngrouped, RecordRemoved, RecordSetAside,
	LogCopied, LogShifted, LogEmptied,
	InstanceFrozen, InstanceThawed,
	SnapshotCopied, SnapshotCut, SnapshotStored, SnapshotRecorded, SnapshotMarked,
	StateWished, StatePlanned, StateReplaced, StateProved,
	RestoreStaging, RestoreWritten, RestoreStaged, RestoreDiscarded, RestoreSwapping, RestoreExchanged, RestoreRenamed,
	RestoreRootSwapped, RestoreOnTrial, RestoreConfirmed, RestoreUndoing, RestoreRootBack, RestoreUndone, RestoreDoomed, RestoreRemoved,
	UpgradeStarted, UpgradeInherited, UpgradePrepared, UpgradeLeft, UpgradeTold, UpgradeSigned, UpgradeSettled,
	UpgradeReady, UpgradeHeard, UpgradeDrained, UpgradeAbandoned, UpgradeReclaimed,
	CreelStopping, CreelStopped,
}

// armed is called at every point; nil: the points have no effect.
var armed atomic.Pointer[func(Point)]

// Passed says that a point was reached. It may be called from any goroutine.
func Passed(p Point) {
	if f := armed.Load(); f != nil {
		(*f)(p)
	}
}

// Arm has f called at every point, by the goroutine that passes it, which waits
// for f to return. nil disarms. Only tests may call it.
func Arm(f func(Point)) {
	if f == nil {
		armed.Store(nil)
		return
	}
	checked := func(p Point) {
		if !slices.Contains(All, p) {
			panic(fmt.Sprintf("crashpoint: %s stands not in the list of all points", p))
		}
		f(p)
	}
	armed.Store(&checked)
}
