package proxy

import (
	"os"

	"golang.org/x/sys/unix"
)

// namelessFile makes a file in dir that never has a name (O_TMPFILE, open(2)), so
// that nothing of it outlives creel however that ends. File systems that know of
// no such files (NFS, some FUSE) get one whose name is taken away.
func namelessFile(dir string) (*os.File, error) {
	if f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600); err == nil {
		return f, nil
	}
	return removedFile(dir) // whose error tells as much
}
