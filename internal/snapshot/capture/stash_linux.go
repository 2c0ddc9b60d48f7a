package capture

import "golang.org/x/sys/unix"

// maxStash bounds the memory that a capture takes while the gateway is held
// still. What does not fit is copied to disk at once.
const maxStash = 64 << 20

// stash is memory for what is read while the gateway is held still: writing it
// to a file could wait for a journal or a full disk, and reading into memory
// that is there already cannot.
type stash struct {
	mem  []byte
	used int64
}

// span is a part of a stash.
type span struct{ off, size int64 }

// newStash gives a stash for about so many bytes. Without memory it is empty,
// which only makes the freeze longer.
func newStash(bytes int64) *stash {
	size := min(max(2*bytes, 1<<20), maxStash)
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return &stash{}
	}
	return &stash{mem: mem}
}

func (s *stash) fits(size int64) bool { return size <= int64(len(s.mem))-s.used }

func (s *stash) take(size int64) span {
	s.used += size
	return span{s.used - size, size}
}

func (s *stash) bytes(p span) []byte { return s.mem[p.off : p.off+p.size] }

// free gives the memory back.
func (s *stash) free() {
	if s != nil && s.mem != nil {
		_ = unix.Munmap(s.mem) // cannot fail for what Mmap gave
		s.mem = nil
	}
}
