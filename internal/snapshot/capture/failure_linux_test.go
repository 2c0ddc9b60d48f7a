package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/test/crashgw/state"
)

// blobs counts the blobs in a folder for copies.
func blobs(t testing.TB, c *Capturer) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(c.opts.Dir, "blobs"))
	must(t, err)
	return len(entries)
}

// works checks that a capture after a failed one is whole.
func works(t testing.TB, c *Capturer) {
	t.Helper()
	cut := mustCapture(t, c)
	same(t, contents(t, cut), live(t, "home", c.opts.Roots[0].Path))
	must(t, cut.Release())
}

// The gateway is let go at the deadline, whatever is left to copy, and though a read hangs,
// as on a disk or a server that does not answer: whoever holds it still is told, and need
// not wait for the read. There is no cut then, and the next one is whole.
func TestMaxFreeze(t *testing.T) {
	// Long enough for the rounds before it on a machine that stands still for a while.
	c, root := newCapturer(t, func(o *Options) { o.Budget, o.MaxFreeze = time.Millisecond, 3*time.Second })
	put(t, root+"/small", "x")
	let := make(chan struct{})
	c.step = func(path string, copying bool) {
		if copying && path == "home/late5" {
			select {
			case <-let:
			case <-time.After(time.Minute):
				t.Error("it is held still for as long as the read takes")
			}
		}
	}
	_, err := c.Capture(t.Context(), func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
		defer context.AfterFunc(ctx, func() { close(let) })()
		for i := range 10 { // at the last moment
			put(t, fmt.Sprintf("%s/late%d", root, i), "x")
		}
		err := do(ctx)
		return time.Millisecond, errors.Join(err, context.Cause(ctx))
	}, nil)
	var much *TooMuchChangeError
	if !errors.As(err, &much) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	c.step, c.opts.MaxFreeze = nil, time.Minute
	works(t, c)
}

// A state that changes too fast is refused before the gateway is held still.
func TestTooMuchChange(t *testing.T) {
	var root string
	c, root := newCapturer(t, func(o *Options) {
		o.Budget, o.MaxFreeze = 1, 1 // nothing is so fast
	})
	put(t, root+"/large", strings.Repeat("x", 1<<20))
	_, err := c.Capture(t.Context(), func(context.Context, func(context.Context) error) (time.Duration, error) {
		t.Error("the gateway was held still")
		return 0, nil
	}, nil)
	var much *TooMuchChangeError
	if !errors.As(err, &much) || much.Need <= much.MaxFreeze {
		t.Errorf("got %v", err)
	}
}

// What holds the gateway still may fail, not call, or be cancelled.
func TestStillFails(t *testing.T) {
	c, root := newCapturer(t)
	put(t, root+"/f", "x")
	broken := errors.New("cannot freeze")
	for name, still := range map[string]Still{
		"error":   func(context.Context, func(context.Context) error) (time.Duration, error) { return 0, broken },
		"no call": func(context.Context, func(context.Context) error) (time.Duration, error) { return 0, nil },
		"cancelled": func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return 0, do(ctx)
		},
		"not let go": func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
			return 0, errors.Join(do(ctx), broken)
		},
	} {
		cut, err := c.Capture(t.Context(), still, nil)
		if err == nil || cut != nil {
			t.Errorf("%s: %v, %v", name, cut, err)
		}
		if name == "error" && !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		works(t, c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Capture(ctx, atRest, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// One cut at a time; the folder is free again after its release.
func TestBusy(t *testing.T) {
	c, _ := newCapturer(t)
	cut := mustCapture(t, c)
	_, err := c.Capture(t.Context(), atRest, nil)
	if _, busy := errors.AsType[*BusyError](err); !busy {
		t.Errorf("got %v", err)
	}
	if _, err := New(c.opts); err != nil {
		t.Errorf("New beside a capture: %v", err)
	}
	must(t, cut.Release())
	must(t, cut.Release())
	if _, err := cut.Open(t.Context(), "home"); err == nil {
		t.Error("a folder can be opened")
	}
	works(t, c)
}

// smallDisk mounts a file system of so many bytes for the copies.
func smallDisk(t *testing.T, bytes int) func(*Options) {
	needRoot(t)
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return func(o *Options) { o.Dir = dir + "/copies" }
}

// A copy that cannot fit is refused with the numbers, before it is begun.
func TestNoSpaceForTheCopy(t *testing.T) {
	c, root := newCapturer(t, smallDisk(t, spareSpace+1<<20))
	put(t, root+"/f", strings.Repeat("x", 2<<20))
	_, err := c.Capture(t.Context(), atRest, nil)
	full, ok := errors.AsType[*NoSpaceError](err)
	if !ok || full.Need != 2<<20 || full.Free > 1<<20 || full.Free == 0 || full.Err != nil {
		t.Fatalf("got %v", err)
	}
	if n := blobs(t, c); n != 0 {
		t.Errorf("%d blobs are left", n)
	}
	must(t, os.Truncate(root+"/f", 1000))
	works(t, c)
}

// A disk that runs full while copying: an error, and no copies are left.
func TestDiskFull(t *testing.T) {
	c, root := newCapturer(t, smallDisk(t, spareSpace+4<<20))
	put(t, root+"/first", "x")
	for name, size := range map[string]int{"in memory": 30 << 20, "straight to disk": 2 * maxStash} {
		_, err := c.Capture(t.Context(), func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
			put(t, root+"/late", strings.Repeat("x", size))
			return time.Millisecond, do(ctx)
		}, nil)
		full, ok := errors.AsType[*NoSpaceError](err)
		if !ok || !errors.Is(err, unix.ENOSPC) || full.Err == nil {
			t.Fatalf("%s: got %v", name, err)
		}
		if n := blobs(t, c); n != 0 {
			t.Errorf("%s: %d blobs are left", name, n)
		}
		must(t, os.Remove(root+"/late"))
		works(t, c)
	}
}

// What is in the folder for copies after a crash, of creel or of the machine, is
// used or removed, and never believed without reason.
func TestFolderAfterACrash(t *testing.T) {
	c, root := newCapturer(t)
	put(t, root+"/a", "first")
	put(t, root+"/b", "second")
	pastTick(t)
	cut := mustCapture(t, c)
	before := keys(t, cut)
	must(t, cut.Release())
	index, blob := filepath.Join(c.opts.Dir, "index"), filepath.Join(c.opts.Dir, "blobs")

	put(t, blob+"/00000000000000ff", "of a capture that was cut short")
	if _, err := New(c.opts); err != nil || blobs(t, c) != 2 {
		t.Errorf("stale copies are kept: %d, %v", blobs(t, c), err)
	}
	entries, err := os.ReadDir(blob)
	must(t, err)
	must(t, os.Remove(filepath.Join(blob, entries[0].Name())))
	works(t, c)

	good, err := os.ReadFile(index)
	must(t, err)
	for name, text := range map[string]string{"empty": "", "torn": string(good[:len(good)/2]), "noise": "noise"} {
		put(t, index, text)
		works(t, c)
		if blobs(t, c) != 2 {
			t.Errorf("%s: %d blobs, want 2", name, blobs(t, c))
		}
	}
	// Copies of another boot were never synced.
	f, _, err := openFolder(c.opts.Dir)
	must(t, err)
	x := f.readIndex()
	x.Boot = "another"
	must(t, f.writeIndex(&x))
	f.close()
	cut = mustCapture(t, c)
	for path, key := range keys(t, cut) {
		if key == before[path] {
			t.Errorf("%s has the key of before the boot", path)
		}
	}
}

// creel killed at any moment of a capture: the next one is whole, and the
// folder does not grow.
func TestKilledWhileCapturing(t *testing.T) {
	if dir := os.Getenv("CREEL_TEST_CAPTURE"); dir != "" {
		for {
			c, err := New(Options{Roots: []Root{{Name: "home", Path: dir + "/live"}}, Dir: dir + "/copies", Ignore: DefaultIgnore})
			must(t, err)
			must(t, mustCapture(t, c).Release())
			os.Remove(dir + "/live/state.json.bak") // and something changes
			put(t, dir+"/live/changed", time.Now().String())
		}
	}
	c, root := newCapturer(t, func(o *Options) { o.Ignore = DefaultIgnore })
	for i := range 300 {
		put(t, fmt.Sprintf("%s/d%d/%d", root, i%5, i), strings.Repeat("x", i*100))
	}
	w, err := state.Open(root)
	must(t, err)
	must(t, w.Close())
	for i := range 15 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledWhileCapturing$")
		cmd.Env = append(os.Environ(), "CREEL_TEST_CAPTURE="+filepath.Dir(root))
		must(t, cmd.Start())
		select {
		case <-time.After(time.Duration(20+i*11) * time.Millisecond): // when it is killed, not what is waited for
		case <-t.Context().Done():
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if i%3 == 2 {
			works(t, c)
		}
	}
	files := 0
	for range live(t, "home", root) {
		files++
	}
	if n := blobs(t, c); n > files {
		t.Errorf("%d blobs for %d files", n, files)
	}
}

// Another program that writes to the state while the gateway is held still is
// noticed, and named.
func TestNotStill(t *testing.T) {
	c, root := newCapturer(t)
	put(t, root+"/f", "x")
	tries := 0
	c.step = func(path string, copying bool) {
		if copying {
			put(t, root+"/f", fmt.Sprint("changed ", tries))
		}
	}
	_, err := c.Capture(t.Context(), func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
		tries++
		put(t, root+"/f", fmt.Sprint("before the freeze ", tries))
		return time.Millisecond, do(ctx)
	}, nil)
	moved, ok := errors.AsType[*NotStillError](err)
	if !ok || moved.Path != "home/f" || tries != maxTries {
		t.Errorf("after %d tries: %v", tries, err)
	}
	c.step = nil
	works(t, c)
}

// A gateway that is let go too early, since it was asked to end, is held still again.
func TestLetGo(t *testing.T) {
	c, root := newCapturer(t)
	put(t, root+"/f", "x")
	tries, letGo := 0, maxTries-1
	still := func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
		tries++
		if err := do(ctx); err != nil || tries > letGo {
			return time.Millisecond, err
		}
		return 0, fmt.Errorf("%w: it was asked to end", ErrLetGo)
	}
	cut, err := c.Capture(t.Context(), still, nil)
	if err != nil || tries != maxTries {
		t.Fatalf("after %d tries: %v", tries, err)
	}
	must(t, cut.Release())
	tries, letGo = 0, maxTries
	if _, err := c.Capture(t.Context(), still, nil); !errors.Is(err, ErrLetGo) || tries != maxTries {
		t.Errorf("after %d tries: %v", tries, err)
	}
	works(t, c)
}

// The memory of a freeze is given back.
func TestMemoryIsGivenBack(t *testing.T) {
	c, root := newCapturer(t)
	mapped := func() (total int) {
		maps, err := os.ReadFile("/proc/self/statm")
		must(t, err)
		_, err = fmt.Sscan(string(maps), &total)
		must(t, err)
		return total * os.Getpagesize()
	}
	content := []byte(strings.Repeat("x", 1<<20))
	capture := func() {
		// Go's heap must not grow meanwhile: what the race detector maps for each part of
		// it would be taken for what is looked for.
		runtime.GC()
		cut, err := c.Capture(t.Context(), func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
			must(t, os.WriteFile(root+"/f", content, 0o644))
			return time.Millisecond, do(ctx)
		}, nil)
		must(t, err)
		must(t, cut.Release())
	}
	capture()
	before := mapped()
	for range 100 {
		put(t, root+"/f", time.Now().String())
		capture()
	}
	// Each of them has at least one MiB.
	if grown := mapped() - before; grown > 80<<20 {
		t.Errorf("100 captures have left %d bytes mapped", grown)
	}
}
