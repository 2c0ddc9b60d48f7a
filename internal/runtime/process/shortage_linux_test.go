package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// TestStartWithFewDescriptors: however few files creel may open, an instance is started
// as it is to be, or not at all; and the error says that it is a want of descriptors, so
// that whoever starts it tries again. Nothing that is found out meanwhile is kept.
func TestStartWithFewDescriptors(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			spec := roleSpec(freePort(t), "app", "serve")
			spec.Apart = &runtime.Apart{Hide: []string{t.TempDir()}}
			for free := 0; ; free++ {
				restore := descriptors(t, free)
				i, err := r.Start(t.Context(), spec)
				restore()
				if err == nil {
					requireWhole(t, parent, i.(*instance))
					mustKill(t, i)
					break
				}
				if !errors.Is(err, unix.EMFILE) || errors.As(err, new(*runtime.ApartError)) || errors.As(err, new(*runtime.CommandError)) {
					t.Errorf("with %d descriptors: %v", free, err)
				}
				if free > 50 {
					t.Fatal("it never starts")
				}
				if i, err := r.Find(t.Context()); err == nil {
					mustKill(t, i)
				} else if !errors.Is(err, runtime.ErrNoInstance) {
					t.Fatal(err)
				}
			}
			requireNoCgroup(t, parent, dir)
		})
	}
}

// requireWhole makes sure that an instance has all that it was to have.
func requireWhole(t *testing.T, parent Support, i *instance) {
	t.Helper()
	if _, ok := i.group.main.(cgroup); ok != (parent.Mode != ModeNone) {
		t.Errorf("its group is %T", i.group.main)
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", i.rec.PID))
	if err != nil {
		t.Fatal(err)
	}
	if own == its {
		t.Error("it is not kept apart")
	}
}

// TestNewWithFewDescriptors: a runtime that is made while creel can hardly open a file knows
// as well as any other on what machine it is, and what cgroups there are; or is not made.
func TestNewWithFewDescriptors(t *testing.T) {
	o := Options{Dir: t.TempDir(), DataDir: t.TempDir(), Logger: testLogger(t)}
	whole, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	for free := 0; ; free++ {
		restore := descriptors(t, free)
		r, err := New(o)
		restore()
		if err == nil {
			if r.record.host != whole.record.host || r.support != whole.support || !reflect.DeepEqual(r.limiter, whole.limiter) {
				t.Errorf("with %d descriptors it knows\n%+v, %+v, %+v, not\n%+v, %+v, %+v", free, r.record, r.support, r.limiter, whole.record, whole.support, whole.limiter)
			}
			r.Close()
			break
		}
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("with %d descriptors: %v", free, err)
		}
	}
	// Each by itself, as descriptors come and go.
	for name, find := range map[string]func() error{
		"machine": func() error { _, err := hostID(); return err },
		"cgroups": func() error { _, _, err := findCgroups(""); return err },
	} {
		restore := descriptors(t, 0)
		err := find()
		restore()
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLimitsWithFewDescriptors: that the files of a cgroup cannot be opened for want of
// descriptors says nothing of the limit.
func TestLimitsWithFewDescriptors(t *testing.T) {
	limits := limitsOf(runtime.Limits{PIDs: 500})
	dir := t.TempDir() // in the place of a cgroup: the files are the same, if nothing else is
	for _, name := range []string{"cgroup.procs", "cgroup.controllers", "cgroup.subtree_control", "pids.max"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("pids\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := cgroup{path: dir, v2: true}
	for name, limit := range map[string]func() error{
		"looking for a place": func() error { _, err := limiter{v2: []string{dir}}.places(limits); return err },
		"setting":             func() error { return c.apply(limits[0]) },
		"entering":            func() error { return groups{limits: []limitGroup{{c, "pids"}}}.enter(1) },
	} {
		if err := limit(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		restore := descriptors(t, 0)
		err := limit()
		restore()
		if !errors.Is(err, unix.EMFILE) || errors.As(err, new(*runtime.LimitError)) {
			t.Errorf("%s: %T: %v", name, err, err)
		}
	}
}

// descriptors lets this process open that many files more, until restore is called.
func descriptors(t *testing.T, free int) (restore func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// The limit is of numbers: all below it are taken, but for those at the end.
	const most = 1000
	var taken []int
	for top := 0; top < most; {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		taken, top = append(taken, fd), fd
	}
	few := unix.Rlimit{Cur: uint64(taken[len(taken)-1] + 1 + free), Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, fd := range taken {
			_ = unix.Close(fd) // a folder that nobody reads
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
}
