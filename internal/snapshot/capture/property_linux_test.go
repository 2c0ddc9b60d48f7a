package capture

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"creel/internal/snapshot/tree"
)

// mutator changes a tree at random. What fails (a path that is not there, a
// folder that is not empty) is a change that does not happen.
type mutator struct {
	root   string
	choose func(n int) int // less than n
	mapped [][]byte
}

func (m *mutator) path() string {
	names := []string{"a", "b", "c", "d\xff", "e"}
	p := m.root
	for range 1 + m.choose(3) {
		p += "/" + names[m.choose(len(names))]
	}
	return p
}

func (m *mutator) bytes() []byte {
	sizes := []int{0, 1, 10, 10, 4096, 100_000}
	b := make([]byte, sizes[m.choose(len(sizes))])
	for i := range b {
		b[i] = byte('a' + m.choose(26))
		if i > 64 {
			copy(b[i:], b[:i])
			break
		}
	}
	return b
}

// step makes one change.
func (m *mutator) step() {
	p := m.path()
	switch m.choose(22) {
	case 0, 1, 2:
		m.write(p, os.O_CREATE|os.O_TRUNC)
	case 3, 4:
		_ = os.Mkdir(p, 0o755)
	case 5:
		_ = os.Remove(p)
	case 6:
		if info, err := os.Lstat(p); err == nil && info.IsDir() { // it would open a FIFO
			_ = os.RemoveAll(p)
		}
	case 7:
		_ = os.Rename(p, m.path())
	case 8:
		_ = os.Symlink(string(m.bytes()), p)
	case 9:
		_ = os.Link(p, m.path())
	case 10:
		_ = os.Truncate(p, int64(m.choose(5000)))
	case 11:
		_ = unix.Chmod(p, uint32(m.choose(0o10000)))
	case 12:
		_ = os.Lchown(p, m.choose(3), m.choose(3))
	case 13:
		_ = unix.Lsetxattr(p, "user.x", m.bytes()[:m.choose(1)], 0)
		_ = unix.Lremovexattr(p, "user.y")
	case 14:
		_ = unix.Lsetxattr(p, "user.y", []byte{byte(m.choose(256))}, 0)
	case 15:
		_ = unix.Mkfifo(p, 0o600)
	case 16:
		m.write(p, os.O_APPEND)
	case 17, 18:
		m.overwrite(p)
	case 19:
		m.disguise(p)
	case 20, 21:
		m.store(p)
	}
}

// open opens a regular file for writing. A FIFO, or a link to one, must not
// make it wait for the other end.
func (m *mutator) open(p string, flags int) (*os.File, os.FileInfo) {
	f, err := os.OpenFile(p, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|flags, 0o644)
	if err != nil {
		return nil, nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil
	}
	return f, info
}

func (m *mutator) write(p string, flags int) {
	if f, _ := m.open(p, flags); f != nil {
		_, _ = f.Write(m.bytes())
		f.Close()
	}
}

func (m *mutator) overwrite(p string) {
	if f, info := m.open(p, 0); f != nil {
		if info.Size() > 0 {
			_, _ = f.WriteAt([]byte{byte(m.choose(256))}, int64(m.choose(int(info.Size()))))
		}
		f.Close()
	}
}

// disguise changes a file and puts its size and time back.
func (m *mutator) disguise(p string) {
	if info, err := os.Lstat(p); err == nil && info.Mode().IsRegular() {
		m.overwrite(p)
		_ = os.Chtimes(p, info.ModTime(), info.ModTime())
	}
}

// store writes by way of a shared mapping, which stays for a while.
func (m *mutator) store(p string) {
	if m.choose(2) == 0 {
		if f, info := m.open(p, 0); f != nil {
			if info.Size() > 0 {
				if mem, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
					m.mapped = append(m.mapped, mem)
				}
			}
			f.Close()
		}
	}
	if len(m.mapped) == 0 {
		return
	}
	i := m.choose(len(m.mapped))
	if m.choose(3) > 0 {
		m.poke(i)
		return
	}
	_ = unix.Munmap(m.mapped[i])
	m.mapped = append(m.mapped[:i], m.mapped[i+1:]...)
}

// poke stores into a mapping. Where the file has been cut to nothing that is a
// fault, and no change.
func (m *mutator) poke(i int) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }()
	m.mapped[i][0] = byte(m.choose(256))
}

func (m *mutator) unmap() {
	for _, mem := range m.mapped {
		_ = unix.Munmap(mem)
	}
	m.mapped = nil
}

func ownProcess(o *Options) {
	o.Processes = func(context.Context) ([]int, error) { return []int{os.Getpid()}, nil }
}

// Whatever is done to a state between the rounds, the cut is the state at the
// moment of the freeze, and the base of earlier captures does no harm.
func TestChangesBetweenRounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var m *mutator
		burst := func() {
			for range m.choose(12) {
				m.step()
			}
		}
		c, root := newCapturer(t, func(o *Options) {
			o.Processes = func(context.Context) ([]int, error) {
				burst()
				return []int{os.Getpid()}, nil
			}
			o.Budget = 2 * time.Nanosecond // as many rounds as there may be
		})
		m = &mutator{root: root, choose: func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") }}
		defer m.unmap()
		for range 3 {
			var want map[string]string
			cut, err := c.Capture(t.Context(), func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
				burst()
				err := do(ctx)
				want = live(t, "home", root)
				return time.Millisecond, err
			}, nil)
			must(t, err)
			different, err := tree.Compare(t.Context(), tree.OfDir("home", root), cut, tree.CompareOptions{})
			if err != nil || len(different) > 0 {
				rt.Fatalf("the cut is not the state: %v %v", different, err)
			}
			burst()
			same(rt, contents(t, cut), want)
			must(t, cut.Release())
		}
	})
}

// The same with changes at any moment, in the middle of a round too.
func TestChangesDuringRounds(t *testing.T) {
	c, root := newCapturer(t, ownProcess, func(o *Options) { o.Budget = 2 * time.Nanosecond })
	var still sync.RWMutex
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer wg.Wait()
	defer stop()
	for seed := range uint64(2) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			m := &mutator{root: root, choose: random.IntN}
			defer m.unmap()
			for ctx.Err() == nil {
				still.RLock()
				m.step()
				still.RUnlock()
			}
		})
	}
	var rounds int
	for range 100 {
		var want map[string]string
		cut, err := c.Capture(ctx, func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
			still.Lock()
			defer still.Unlock()
			err := do(ctx)
			want = live(t, "home", root)
			return time.Millisecond, err
		}, nil)
		must(t, err)
		same(t, contents(t, cut), want)
		rounds += cut.Rounds
		must(t, cut.Release())
	}
	t.Logf("100 captures in %d rounds", rounds)
}
