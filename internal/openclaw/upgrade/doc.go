// Package upgrade exchanges the version of OpenClaw under a gateway, and takes that
// back if the new one does not work.
//
// What it guarantees:
//
//   - The state of before is in the snapshot store, a sample of it read back, before
//     the gateway is stopped. A second snapshot, of the stopped gateway, is taken by
//     the launch itself (snapshot.Keeper.Prepare), so that nothing is lost that was
//     written in between.
//   - The new version counts once an instance of it was ready within its time and has
//     been well for Options.Healthy. Until then every failure brings back the old
//     version *and* the old state, since the new one may have changed it in a way that
//     the old one cannot read.
//   - The old instance runs on while the new version is downloaded and tried.
//   - A creel that is killed at any instant leaves in openclaw.VersionRecord how far
//     it has got. Resume goes on from there: a trial is judged, a way back is gone to
//     its end. At no instant does another version run on the state than the record
//     says.
//
// # What counts as failing
//
// Once: not being ready in time, or being given up by the supervisor. Twice: ending
// by itself before it is well (the first exit with code 78 gives OpenClaw's doctor
// its turn, see openclaw.Inspector). Ends that somebody asked for, and restarts that
// OpenClaw itself asked for, do not count. While a person has the gateway stopped, no
// time passes and nothing is started, not on the way back either.
//
// # What it refuses
//
//   - A second upgrade beside one that is under way.
//   - A gateway that a person has stopped: whether a version works is seen only where
//     it runs.
//   - To do without snapshots, unless it is told to. The old version then comes back
//     without the old state, and the report says so.
package upgrade
