package crashgw

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// death is the end of the process.
type death struct {
	code   int            // exit code, if signal is 0
	signal syscall.Signal // 0: exit
	why    string         // for the log
}

func (d death) String() string {
	if d.signal != 0 {
		return fmt.Sprintf("dying by %s (%s)", unix.SignalName(d.signal), d.why)
	}
	return fmt.Sprintf("exiting with code %d (%s)", d.code, d.why)
}

// fatalSignal finds a signal by name, with or without SIG. It is 0 for a name
// that is unknown, or of a signal that does not end a process by default.
func fatalSignal(name string) syscall.Signal {
	sig := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
	switch sig {
	case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH,
		unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return 0
	}
	return sig
}

// die ends the process. It does not return.
func (s *server) die(d death) {
	fmt.Fprintln(os.Stderr, s.log.Prefix()+d.String())
	if s.lives != nil {
		if err := s.lives.write(Life{Kind: LifeEnd}); err != nil {
			fmt.Fprintln(os.Stderr, s.log.Prefix()+err.Error())
		}
	}
	if d.signal != 0 {
		killSelf(d.signal)
	}
	// Not os.Exit: with code 0 and the race detector it goes on serving for a
	// second (the detector waits for late reports).
	syscall.Exit(d.code)
}

// killSelf ends the process by a signal, so that its parent sees the signal and
// not an exit code. Go's runtime has handlers for nearly all signals (SIGABRT
// would print every stack and exit with code 2), and --ignore-sigterm ignores
// one; therefore the kernel's default is put back first.
func killSelf(sig syscall.Signal) {
	// No core file: tests die often. If it fails there is a core, no more.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// struct kernel_sigaction, all zero: SIG_DFL, no flags, empty mask. The
	// last argument is the size of the kernel's sigset_t, 64 bits. SIGKILL
	// refuses this (EINVAL) and needs it not.
	var dfl [4]uint64
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
	if err := unix.Kill(os.Getpid(), sig); err == nil {
		wait(time.Second) // for the signal to arrive
	}
	fmt.Fprintln(os.Stderr, "crashgw: cannot die by", unix.SignalName(sig))
}
