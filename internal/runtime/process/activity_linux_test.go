package process

import (
	"context"
	"encoding/json"
	"net"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// TestActivity: what an instance does shows in its activity, and that it is held
// does too.
func TestActivity(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			i := mustStart(t, testRuntime(t, t.TempDir(), parent), roleSpec(freePort(t), "app", "serve")).(*instance)
			awaitServing(t, i.Addr())
			look := func() runtime.Activity {
				t.Helper()
				a, err := i.Activity()
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			first := look()
			orphan := runtimetest.Orphan(t, i.Addr())
			if a := look(); a.Tasks == first.Tasks || a.IO <= first.IO {
				t.Errorf("activity %+v with a child more, %+v before", a, first)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			spun := make(chan error, 1)
			go func() { spun <- runtimetest.Spin(ctx, i.Addr()) }()
			runtimetest.Await(t, "processor time is used", func() bool { a := look(); return a.CPU >= first.CPU+5*tick && a.Runnable })
			cancel()
			if err := <-spun; err == nil {
				t.Error("the app answered")
			}

			if a := look(); a.Held {
				t.Error("it is held")
			}
			if err := unix.Kill(orphan, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if a := look(); a.Held {
				t.Error("a stopped child holds it")
			}
			mustFreeze(t, i)
			if a := look(); !a.Held {
				t.Error("frozen, it is not held")
			}
			if err := i.Thaw(); err != nil {
				t.Fatal(err)
			}
			if a := look(); a.Held {
				t.Error("thawed, it is held")
			}
		})
	}
}

// TestHeldByDebugger: an instance that a debugger has stopped is held.
func TestHeldByDebugger(t *testing.T) {
	i := mustStart(t, testRuntime(t, t.TempDir(), Support{Path: NoCgroup}), roleSpec(freePort(t), "app", "serve")).(*instance)
	awaitServing(t, i.Addr())
	goruntime.LockOSThread() // the tracer is a thread
	defer goruntime.UnlockOSThread()
	if err := unix.PtraceAttach(i.rec.PID); err != nil {
		missing(t, "this machine lets us trace nothing: "+err.Error())
	}
	runtimetest.Await(t, "it is held", func() bool {
		a, err := i.Activity()
		if err != nil {
			t.Fatal(err)
		}
		return a.Held
	})
	if err := unix.PtraceDetach(i.rec.PID); err != nil {
		t.Fatal(err)
	}
	runtimetest.Await(t, "it is let go", func() bool {
		a, err := i.Activity()
		if err != nil {
			t.Fatal(err)
		}
		return !a.Held
	})
}

// TestFrozenFromOutside: somebody has frozen the cgroup above. It is held, but
// not by creel.
func TestFrozenFromOutside(t *testing.T) {
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			i := mustStart(t, r, roleSpec(freePort(t), "app", "serve")).(*instance)
			awaitServing(t, i.Addr())
			var above freezer = freezerV1{cgroupBase(parent.Path, r.opts.DataDir, "contract")}
			if parent.Mode == ModeV2 {
				above = freezerV2{cgroupBase(parent.Path, r.opts.DataDir, "contract")}
			}
			ctx, cancel := timeout()
			defer cancel()
			if err := above.freeze(ctx); err != nil {
				t.Fatal(err)
			}
			if frozen, err := i.Frozen(); err != nil || frozen {
				t.Errorf("frozen by creel: %v, %v", frozen, err)
			}
			if a, err := i.Activity(); err != nil || !a.Held {
				t.Errorf("activity %+v, %v", a, err)
			}
			if err := above.thaw(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestExamine: what is found fits into an event and says what a person looks for.
func TestExamine(t *testing.T) {
	i := mustStart(t, testRuntime(t, t.TempDir(), Support{Path: NoCgroup}), roleSpec(freePort(t), "app", "serve")).(*instance)
	awaitServing(t, i.Addr())
	if err := unix.Kill(i.rec.PID, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	runtimetest.Await(t, "it is stopped", func() bool {
		stopped, err := allThreadsStopped(i.rec.PID)
		return err == nil && stopped
	})
	conn, err := net.Dial("tcp", i.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	found := i.Examine(t.Context())
	data, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"state":"T"`, `"waits_in":`, `"not_accepted":`, `"resident":"`, `"name":"`, `"unread_bytes":5`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is lacking: %s", want, data)
		}
	}
	if len(data) > 16<<10 {
		t.Errorf("%d bytes", len(data))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if some := i.Examine(ctx); some["threads"] != nil {
		t.Errorf("after the end of its context: %v", some)
	}
}

func TestConnectionAt(t *testing.T) {
	lines := []string{
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 123 1",
		"   1: 0100007F:1F90 0100007F:C350 01 00000010:00000005 00:00000000 00000000     0        0 124 1",
		"   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 125 1",
		"   3: 0100007F:1F90 0100007F:C351 FF 00000000:00000000 00:00000000 00000000     0        0 126 1",
		"   4: nonsense",
	}
	var got []string
	for _, line := range lines {
		if state, unread, unsent, ok := connectionAt(line, 8080); ok {
			got = append(got, state)
			if state == "established" && (unread != 5 || unsent != 16) || state == "listening" && unread != 3 {
				t.Errorf("%q: %d unread, %d unsent", line, unread, unsent)
			}
		}
	}
	if !slices.Equal(got, []string{"listening", "established"}) {
		t.Errorf("got %q", got)
	}
}
