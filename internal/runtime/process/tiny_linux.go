//go:build linux && (amd64 || arm64)

package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	goruntime "runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The tiny launcher does what launcher does, in one page of machine code: its
// text is in tiny_*.s, and tinyImage makes a program of it. It is in a file that
// is in memory only (memfd_create(2)) and so cannot be missing, be of another
// version than creel, or lie in a folder from which nothing may be executed.
//
// It takes what is to be done from its arguments: the limit of open files (which
// it leaves to creel, who sets it from outside while it waits), the path of the
// program, and the command.

// tinyText gives the address of the tiny launcher's machine code.
func tinyText() unsafe.Pointer

const (
	// tinyTextSize is more than the text takes; what follows is never reached.
	tinyTextSize = 384
	// tinyBase is where the program is in memory: aligned for the largest pages
	// that Linux has on either architecture (64 KiB).
	tinyBase   = 0x400000
	elfHeader  = 64
	elfProgram = 56
)

// tinyFile is the program, ready to be executed as /proc/self/fd/N. It is open
// for as long as creel runs. The error says why there is none.
var tinyFile = sync.OnceValues(func() (*os.File, error) {
	// All descriptors must be closed in one go: Linux 5.9 or later, and no
	// seccomp filter in the way. Nothing is closed by asking.
	if err := unix.CloseRange(math.MaxUint32, math.MaxUint32, 0); err != nil {
		return nil, fmt.Errorf("close_range: %w", err)
	}
	const mfdExec = 0x10 // MFD_EXEC, for systems where it is not the default (Linux 6.3)
	fd, err := unix.MemfdCreate(launcherName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|mfdExec)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(launcherName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), launcherName)
	if _, err := f.Write(tinyImage()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Above the places that descriptors are put into in the child (startLauncher).
	high, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, controlFD+1)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(high), launcherName), nil
})

// tinyProgram is the path of the tiny launcher.
func tinyProgram() (string, error) {
	f, err := tinyFile()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), nil
}

// tinyImage makes an executable of the text: one segment, that is read and
// executed but not written to, and a stack. See elf(5).
func tinyImage() []byte {
	machine := map[string]uint16{"amd64": 62, "arm64": 183}[goruntime.GOARCH]
	const start = elfHeader + 2*elfProgram
	le := binary.LittleEndian
	b := append([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, make([]byte, 9)...) // 64 bits, little-endian, version 1
	b = le.AppendUint16(b, 2)                                             // ET_EXEC
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, tinyBase+start) // entry
	b = le.AppendUint64(b, elfHeader)      // program headers
	b = le.AppendUint64(b, 0)              // no section headers
	b = le.AppendUint32(b, 0)
	for _, n := range []uint16{elfHeader, elfProgram, 2, 0, 0, 0} {
		b = le.AppendUint16(b, n)
	}
	program := func(kind, flags uint32, fields ...uint64) {
		b = le.AppendUint32(b, kind)
		b = le.AppendUint32(b, flags)
		for _, f := range fields {
			b = le.AppendUint64(b, f)
		}
	}
	const size = start + tinyTextSize
	program(1, 4|1, 0, tinyBase, tinyBase, size, size, 0x10000) // PT_LOAD
	program(0x6474e551, 4|2, 0, 0, 0, 0, 0, 16)                 // PT_GNU_STACK, which is not executed
	return append(b, unsafe.Slice((*byte)(tinyText()), tinyTextSize)...)
}
