package restore

// Point is a moment of a restore at which the death of creel would leave
// something half done, named after what has just been done. Tests kill at each.
type Point string

// The points.
const (
	PointStaging     Point = "restore.staging"      // it is written down; no folder exists yet
	PointWritten     Point = "restore.written"      // all files are written
	PointStaged      Point = "restore.staged"       // and checked
	PointDiscarded   Point = "restore.discarded"    // what was staged for a root is gone; it is written down still
	PointSwapping    Point = "restore.swapping"     // it is written down; nothing has moved
	PointExchanged   Point = "restore.exchanged"    // two folders have each other's name
	PointRenamed     Point = "restore.renamed"      // a folder, or what is in one, has another name
	PointRootSwapped Point = "restore.root-swapped" // a root is the new one, durably
	PointOnTrial     Point = "restore.on-trial"     // all are, and it is written down
	PointConfirmed   Point = "restore.confirmed"    // it is forgotten; what is not needed lies there still
	PointUndoing     Point = "restore.undoing"      // it is written down; nothing has moved back
	PointRootBack    Point = "restore.root-back"    // a root is the old one again, durably
	PointUndone      Point = "restore.undone"       // all are, and it is written down
	PointDoomed      Point = "restore.doomed"       // what is to be removed is written down
	PointRemoved     Point = "restore.removed"      // a folder is removed; it is written down still
)
