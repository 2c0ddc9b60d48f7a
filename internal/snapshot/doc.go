// Package snapshot keeps the state of one gateway from being lost. Its Keeper
// decides when a snapshot is taken, what is kept, and when a state is put in the
// place of another; capture, store and restore do the work.
//
// # What it guarantees
//
//   - A state that is missing is filled before the gateway starts, from the newest
//     good snapshot; if that cannot be done, the gateway is not started (Prepare
//     is part of every launch, so no caller can skip it). A state that is there is
//     never replaced unless a person asks for it, and is then set aside, not
//     removed (I4).
//   - No snapshot is taken of a state of which it is not known where it came from:
//     it was restored, or somebody declared a fresh start, or creel found it when
//     it began to look after it. So an empty state that a failed restore left
//     behind never becomes a snapshot.
//   - Nothing is removed from the store before a later snapshot of the same lineage
//     was read back. A snapshot that is suddenly much smaller is kept and marked,
//     and keeps the one before it, until a person has looked (Retain).
//   - Neither does a worse state take the place of a better one otherwise: what was
//     saved later is newer, whatever the clock says; what was saved of a restored
//     state that was rejected is not the newest; one that lacks files which could not
//     be read, or a whole state folder, pushes nothing out; before the newest is
//     chosen the store looks whether it has lost sight of any.
//   - A restored state is on trial until an instance has got ready on it. If that
//     instance ends or is not ready in time, the old state is put back.
//   - A gateway is held still for a cut alone, never for a store that is slow.
//   - Before an instance of another version of the app is launched, the state that
//     the old version left is saved; if that fails, the new one is not launched,
//     since migrations go one way.
//
// # What it refuses
//
//   - To choose an older snapshot by itself when the newest is damaged or lacks files,
//     and to choose one that has shrunk when there is no other: how much may be lost
//     is not for a program to say. The error names the next older one.
//   - To merge: a state is restored whole.
//
// # What was rejected
//
//   - A quiet app (OpenClaw's suspend) in place of freezing: it stops turns, not
//     writes, may be refused while there is work, and says nothing of other
//     writers. A frozen cgroup is an instant whatever the app does.
//   - Restoring on the word of whoever first finds the state missing (a request, a
//     status page): every caller that forgets it starts a blank gateway.
package snapshot
