package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hideSelf keeps this process from being looked into by others of its user: its
// environment as it was at its start, its memory, its open files and its root
// (/proc/PID/environ, mem, fd, root; ptrace(2)). All of these hold secrets of creel's,
// such as credentials of the snapshot store, keys of providers and the key of the
// snapshots, and the gateway runs as the same user.
//
// After that it takes CAP_SYS_PTRACE to look in (for the environment CAP_PERFMON or
// CAP_SYS_ADMIN will do), whatever rights the two have else (ptrace(2), "Ptrace access
// mode checking"). A gateway that is kept apart lacks all three; so do root in a
// container as a rule, and every other user. Without this, a gateway that is not kept
// apart needs nothing but to be of the same user.
//
// Processes that creel starts are as they always are: execve(2) gives them another
// memory. The price is that creel dumps no core (which would hold the same secrets),
// and that a debugger of the same user cannot attach.
//
// What is left: a gateway that runs as root with all rights and is not kept apart
// (gateway.sandbox: off) can read everything; processes of others, such as a shell in
// whose environment the same secret was set, are theirs to hide.
//
// Rejected: to start anew with an environment without secrets. It hides neither memory
// nor files, and what creel is told by its environment it would have to be told in
// another way that can be read as well.
func hideSelf() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot keep other processes of this user from reading creel's memory and environment: %w", err)
	}
	return nil
}
