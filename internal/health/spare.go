package health

import (
	"net"
	"os"
	"sync"
)

// spareFiles is how many descriptors are kept back: a start of the gateway takes
// ten at a time, a probe or a look by the owner one.
const spareFiles = 16

// Spare keeps descriptors back for what must go on when there are no more: the
// owner's questions, probes, starts. Its methods may be called from any
// goroutine.
type Spare struct {
	registry *Registry
	mu       sync.Mutex
	files    []*os.File
	closed   bool
}

// NewSpare opens the spare descriptors. Close gives them up.
func NewSpare(r *Registry) *Spare {
	s := &Spare{registry: r}
	s.Refill()
	return s
}

// Release gives n descriptors (0: none, which only sets the condition) up to whoever needs them now, and sets the
// condition. It tells whether there were any.
func (s *Spare) Release(n int, err error) bool {
	s.registry.Set(Descriptors, Trouble, "creel may have no more files open: "+rootOf(err).Error(), "raise the limit of open files (LimitNOFILE= in the systemd unit)")
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.files))
	for _, f := range s.files[len(s.files)-n:] {
		_ = f.Close() // nothing was written to it
	}
	s.files = s.files[:len(s.files)-n]
	return n > 0
}

// ReleaseAll gives all of them up.
func (s *Spare) ReleaseAll(err error) bool { return s.Release(spareFiles, err) }

// Refill takes back what was given up, as far as it can be had, and clears the
// condition if that is all. It tells whether it is.
func (s *Spare) Refill() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.files) < spareFiles && !s.closed {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return false
		}
		s.files = append(s.files, f)
	}
	s.registry.Clear(Descriptors)
	return true
}

// Close gives all up.
func (s *Spare) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, f := range s.files {
		_ = f.Close()
	}
	s.files = nil
}

// Listener accepts connections for as long as there is a descriptor, spare ones
// included.
func (s *Spare) Listener(l net.Listener) net.Listener { return &spareListener{l, s} }

type spareListener struct {
	net.Listener
	spare *Spare
}

func (l *spareListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil || !NoDescriptors(err) || !l.spare.Release(1, err) {
			return c, err // http.Server waits, and tries again
		}
	}
}

// Unwrap gives the listener below, for whoever hands it over.
func (l *spareListener) Unwrap() net.Listener { return l.Listener }
