package daemon

import "creel/internal/provider"

// seclude keeps creel from being looked into by other processes of its user, whether
// there are model providers or not: its environment, memory and open files
// (/proc/PID/environ, mem, fd, root) hold credentials of the snapshot store, the key of
// the snapshots and what else it was told, and the gateway runs as the same user.
//
// After that it takes CAP_SYS_PTRACE to look in (for the environment CAP_PERFMON or
// CAP_SYS_ADMIN will do), whatever rights the two have else. A gateway that is kept
// apart lacks all three; so do root in a container as a rule, and every other user.
// Without this, a gateway that is not kept apart needs nothing but to be of the same
// user.
//
// It comes after newProviders: what is wiped there is wiped by writing to creel's own
// memory, which is open until then (provider.SecludeEarly, which main has called, and
// which has made creel undumpable already). Nothing is launched before it.
//
// What is left: execve(2) makes a process dumpable, and creel, or its successor at an
// upgrade, is so until its main begins, for some hundredths of a second; a gateway that
// lies in wait for it can read its environment then. And a gateway that runs as root with all rights and is not kept apart
// (gateway.sandbox: off) can read everything; processes of others, such as a shell in
// whose environment the same secret was set, are theirs to hide.
//
// Rejected: to start anew with an environment without secrets. It hides neither memory
// nor files, and what creel is told by its environment it would have to be told in
// another way that can be read as well.
func (d *daemon) seclude() {
	if err := provider.Seclude(nil); err != nil {
		d.log.Warn("what runs as the same user may be able to read creel's memory and environment", "error", err)
	}
}
