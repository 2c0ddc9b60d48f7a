// Package process runs a gateway as a child process on Linux.
//
// # What it guarantees
//
//   - An instance outlives creel. It has a session of its own, writes to a log
//     file that it owns (never to a pipe of creel's), and is not tied to
//     creel's life by any signal. A creel that starts later finds it by its
//     record and takes it over (invariant I6).
//   - Nothing runs unrecorded. The process is started as a launcher, which
//     waits; its record is written; then the launcher is told to go on and
//     becomes the command by execve, under the same pid. A creel that dies in
//     between closes the control socket, and the launcher ends without having
//     run anything.
//   - There is one instance at a time (I1). Start refuses while a record
//     exists, ends what an unrecorded predecessor left in the gateway's cgroup or
//     that writes to the gateway's log, and refuses a port that somebody listens
//     on. In a data folder that was moved while its instance runs, Find returns an
//     error, so that nothing is started.
//   - A process is never taken for another. A record names pid, start time and
//     boot; Find pins the process by a pidfd before it compares the start time,
//     and every signal is sent through a pidfd.
//   - The end of the main process is an event: a pidfd in Go's network poller,
//     for a child and for an adopted process alike. Nothing polls.
//   - Kill ends everything that belongs to the instance, orphans that have left
//     its session included, and nothing else.
//
// # The launcher
//
// What a start costs before the command's first instruction is lost time after
// every crash, so the launcher is a program of some 300 bytes, in machine code, in
// a file that is in memory only (tiny_linux.go). It does with system calls alone
// what a process needs done from within: wait for the word, mark descriptors to be
// closed, reset signals, execve. All else is done from outside while it waits:
// cgroups (it is born into one of v2), the limit of open files, oom_score_adj, the
// record. Started anew, creel's own program serves where there can be no such
// launcher: on other architectures, on kernels without close_range(2), and where a
// security module does not let it be executed. From fork to execve, on a machine
// with two cores (BenchmarkLaunch):
//
//   - the tiny launcher: 0.35 ms, whatever creel's size and heap;
//   - a Go program of 15 MB that initializes little: 2.7 ms; creel itself, which
//     initializes more with each package that is linked in: up to 9 ms;
//   - a copy of creel by a plain fork, with no execve before the command's: 1 ms,
//     but 10 ms more for each 100 MB that creel's heap has, for the page tables;
//   - a copy that shares creel's memory (CLONE_VM): as quick as the tiny one, but
//     whatever sets its oom_score_adj sets creel's as well (proc_pid_oom_score_adj(5)).
//
// # Where the processes of an instance are kept together
//
// In a cgroup v2 where that hierarchy is mounted and writable: ended as a whole
// by cgroup.kill. Else in a cgroup v1 (freezer, systemd or pids hierarchy):
// frozen and killed one by one. Else not at all: then a process belongs to the
// instance if it is in the main process's session, descends from it, or has the
// instance's log open for appending as its standard output or standard error.
// An orphan that is none of the three is not found; if it keeps the port, the
// next Start says who it is. Describe tells which of the three this machine has.
// Without limits no cgroup controller is enabled, so the rule that a cgroup v2
// with controllers holds no processes of its own does not get in the way.
//
// Without a cgroup there is one more gap: a session id that was used again by a
// stranger, whose leader has ended as well, looks like the instance's. The kernel
// gives the number away only after the instance's own session is empty.
//
// # Holding still
//
// Freeze uses the freezer of the instance's cgroup, v2 or v1, which holds what is
// being forked, too; no process can tell that it was held. Where there is none
// (no cgroup; the v1 systemd and pids hierarchies), every process gets SIGSTOP,
// again and again until none is new. One that was stopped before it had executed a
// program is let go on for that if its parent waits for it, as in vfork(2), and so
// cannot stop. Who was stopped so is in held.json beside the record, so that a creel
// which finds the instance can let it go on, and no process that somebody else has
// stopped.
//
// The control file of the cgroup, or held.json, is all that says "frozen": a
// freeze that creel did not live to see the end of is found and thawed.
//
// A freeze that fails, or whose context ends, thaws. Terminate signals first and
// thaws then. Kill lets no freeze begin any more, waits for the end of one under
// way, which it cuts short, and ends frozen processes: a v2 cgroup's and stopped
// ones die as they are, v1's are thawed once they have all been signalled.
//
// # Limits
//
// Memory, CPU, and processes are limited by cgroup controllers. One of v1 has a
// hierarchy of its own: the instance gets a cgroup there, called like its main
// one and listed in the record. Those of v2 are enabled for the main cgroup; if
// creel's own cgroup cannot hand them on, because creel runs in it, the main
// cgroup is made in the one above if systemd has delegated that, or at the top
// of the hierarchy. Open files are limited by RLIMIT_NOFILE. All is in force
// before the command runs. What cannot be enforced is a *runtime.LimitError, and
// nothing is started.
//
// With or without limits an instance has a higher oom_score_adj than creel, so
// that creel outlives a machine that runs out of memory.
//
// # The log
//
// Standard output and error go to LogPath, opened for appending. A running creel
// rotates it by copying and truncating, because the file is the instance's own
// and cannot be exchanged under it. What is written between the end of the copy
// and the truncation, a few microseconds, is lost. A log that has outgrown twice
// its limit, in a flood or while there was no creel, keeps its latest part only;
// the copy begins with a line that says how much was dropped.
//
// # What was rejected
//
//   - A shim process per instance, as containerd has: one more program to
//     upgrade and to lose, for nothing but the exit status of an adopted
//     instance.
//   - PR_SET_PDEATHSIG and process groups in creel's session: they end the
//     gateway with creel.
//   - Pipes for the output: they break, or block, when creel dies.
//   - Starting the command stopped instead of a launcher. By SIGSTOP: a creel that
//     dies would leave it stopped for ever. By ptrace(2): PTRACE_O_EXITKILL, which
//     ends it with creel, can be set only after its first stop; a creel that dies
//     before that lets it run on, and there is no record of it. It also needs the
//     thread that forked for the whole start, and is often refused in containers.
//   - A launcher that is started ahead of time: generation, limits, environment and
//     cgroup are not known yet, and moving a process into a cgroup later is slower
//     than the whole start is now.
//
// It needs Linux 5.4 or later (pidfd_open(2), waitid(2) with P_PIDFD). On other
// systems New returns an error.
package process
