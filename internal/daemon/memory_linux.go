package daemon

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStart lets go of the parts of creel's program that only its start has
// touched: the initialisation of all packages, which reads most of the file once.
// They are read-only pages of a file; whichever is needed again comes back from
// there (madvise(2), MADV_DONTNEED). It is a courtesy to a small machine, so an
// error is of no consequence.
func forgetStart() {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// address perms offset dev inode pathname (proc_pid_maps(5))
		f := strings.Fields(lines.Text())
		if len(f) < 6 || strings.Contains(f[1], "w") || f[5] != program {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || end <= start {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
	}
}
