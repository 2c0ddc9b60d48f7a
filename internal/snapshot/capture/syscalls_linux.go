package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// open opens for reading without moving the access time, if that is allowed.
func open(dirfd int, name string, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_NOATIME, 0)
		if err == unix.EPERM {
			fd, err = unix.Openat(dirfd, name, flags, 0) // somebody else's file
		}
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func openDir(dirfd int, name string, flags int) (int, error) {
	return open(dirfd, name, flags|unix.O_DIRECTORY)
}

// direntNames gives the names in what getdents64(2) returned, without "." and
// "..". They are valid until the buffer is used again.
func direntNames(buf []byte) iter.Seq[[]byte] {
	const header = int(unsafe.Offsetof(unix.Dirent{}.Name))
	return func(yield func([]byte) bool) {
		for len(buf) >= header {
			length := int(binary.NativeEndian.Uint16(buf[unsafe.Offsetof(unix.Dirent{}.Reclen):]))
			if length < header || length > len(buf) {
				return
			}
			name := buf[header:length]
			buf = buf[length:]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end]
			}
			if string(name) == "." || string(name) == ".." {
				continue
			}
			if !yield(name) {
				return
			}
		}
	}
}

func compareName(n *node, name []byte) int {
	// The conversion does not allocate: the compiler sees that it is only compared.
	switch {
	case n.name == string(name):
		return 0
	case n.name < string(name):
		return -1
	}
	return 1
}

// readlink reads the symbolic link that fd (O_PATH) stands for.
func readlink(fd int, size int64) (string, error) {
	buf := make([]byte, max(size, 127)+1)
	for {
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}

// xattrs reads the extended attributes of an open file, O_PATH or not. What
// the file system does not know or creel may not see is left out, as the kernel
// does with those that only root may list.
func xattrs(fd int) map[string][]byte {
	// By way of /proc, because the calls for descriptors refuse O_PATH.
	path := "/proc/self/fd/" + strconv.Itoa(fd)
	size, err := unix.Listxattr(path, nil)
	if err != nil || size == 0 {
		return nil
	}
	list := make([]byte, size+256)
	if size, err = unix.Listxattr(path, list); err != nil {
		return nil
	}
	var attrs map[string][]byte
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:size]), "\x00"), "\x00") {
		value, err := xattr(path, name)
		if err != nil || name == "" {
			continue
		}
		if attrs == nil {
			attrs = map[string][]byte{}
		}
		attrs[name] = value
	}
	return attrs
}

func xattr(path, name string) ([]byte, error) {
	value := make([]byte, 256)
	for {
		n, err := unix.Getxattr(path, name, value)
		if err == nil {
			return value[:n:n], nil
		}
		if !errors.Is(err, unix.ERANGE) || len(value) > 1<<20 {
			return nil, err
		}
		value = make([]byte, 16*len(value))
	}
}

// provesChange says whether the file system of an open folder sets the times of
// a file at the first store to a clean page of a shared mapping, and has no
// other writers than this machine.
func provesChange(fd int) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return false
	}
	const zfs, bcachefs = 0x2fc12fc1, 0xca451a4e
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC,
		unix.F2FS_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, zfs, bcachefs:
		return true
	}
	return false
}
