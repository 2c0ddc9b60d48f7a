package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// deed is what a child process that kills itself does to a repository in Dir.
type deed struct {
	Dir    string
	What   string
	Later  time.Duration // how far its clock is ahead
	Remove store.ID
	Save   store.Meta
	Kill   int // after which of the changes of the folder; 0: none
}

const deedVariable = "CREEL_TEST_STORE_DEED"

// TestChild is not a test but the process that is killed.
func TestChild(t *testing.T) {
	text := os.Getenv(deedVariable)
	if text == "" {
		return
	}
	var d deed
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	var steps atomic.Int64
	d.do(t, func(string) {
		if steps.Add(1) == int64(d.Kill) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it is on its way
		}
	})
}

// open opens the repository with the deed's clock.
func (d *deed) open(t *testing.T, step func(string)) store.Store {
	t.Helper()
	o := store.WithClock(folderOptions(d.Dir, 0), func() time.Time { return time.Now().Add(d.Later) })
	s, err := store.Open(t.Context(), store.WithStep(o, step))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func (d *deed) do(t *testing.T, step func(string)) {
	t.Helper()
	s := d.open(t, step)
	var err error
	switch d.What {
	case "save":
		_, err = s.Save(t.Context(), changed(), d.Save, d.Remove, nil)
	case "remove":
		err = s.Remove(t.Context(), d.Remove)
	case "maintain":
		err = s.Maintain(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// changed is the tree that a deed saves.
func changed() *storetest.Tree {
	next := storetest.Everything()
	next.File("state/new", storetest.Noise(5, 400_000))
	return next
}

var allKills = flag.Bool("store.kills", false, "kill after each change of the folder, and the server at more moments, not after a few of them")

// TestKilled kills a creel after each change that Save, Remove and Maintain make
// to a folder. All that is listed then is whole, what the deed did not concern is
// listed, the next Save works, and what is left over goes in its time.
func TestKilled(t *testing.T) {
	t.Parallel()
	offset := rand.N(uint(100))
	t.Logf("kills begin at %d; -store.kills has all of them", offset)
	dir := t.TempDir()
	from := deed{Dir: dir}
	s := from.open(t, nil)
	old := storetest.Save(t, s, changed(), storetest.Meta("g"), "")
	kept := storetest.Save(t, s, storetest.Everything(), storetest.Meta("g"), old.ID)
	// For Maintain there is what it may give up, and not yet any of it done.
	worn := filepath.Join(t.TempDir(), "worn")
	copyDir(t, dir, worn)
	for _, later := range []time.Duration{0, 25 * time.Hour} {
		w := deed{Dir: worn, What: "maintain", Later: later}
		if later == 0 {
			w.What, w.Remove = "remove", old.ID
		}
		w.do(t, nil)
	}
	for _, d := range []deed{
		{Dir: dir, What: "save", Remove: old.ID},
		{Dir: dir, What: "remove", Remove: old.ID},
		{Dir: worn, What: "maintain", Remove: old.ID, Later: 50 * time.Hour},
	} {
		d.Save = storetest.Meta("g")
		var mu sync.Mutex
		var steps []string
		all := d
		all.Dir = filepath.Join(t.TempDir(), d.What)
		copyDir(t, d.Dir, all.Dir)
		all.do(t, func(what string) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, what)
		})
		if len(steps) < 6 {
			t.Fatalf("%s makes only the changes %q: this proves nothing", d.What, steps)
		}
		for i, step := range steps {
			// Each kill costs several openings, of which each derives a key; so a run
			// has a few of every sort, other ones each time.
			if !*allKills && (i+int(offset))%max(1, len(steps)/4) != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%02d %s", d.What, i+1, step), func(t *testing.T) {
				t.Parallel()
				d := d
				from := d.Dir
				d.Dir, d.Kill = t.TempDir(), i+1
				copyDir(t, from, d.Dir)
				d.run(t)
				d.check(t, kept.ID)
			})
		}
	}
}

// run runs a child until it kills itself.
func (d *deed) run(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), deedVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	// Contents are packed by chance: a child may make fewer changes than were counted.
	if err != nil && (!ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		t.Fatalf("the child was to be killed: %v\n%s", err, out)
	}
}

// check looks what a killed creel has left.
func (d *deed) check(t *testing.T, kept store.ID) {
	t.Helper()
	s := d.open(t, nil)
	all, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	found := map[store.ID]bool{}
	for _, x := range all {
		found[x.ID] = true
		if err := s.Verify(t.Context(), x.ID, 1, nil); err != nil {
			t.Error(err)
		}
	}
	if !found[kept] || d.What == "save" && !found[d.Remove] {
		t.Errorf("listed are %v", found)
	}
	storetest.Expect(t, s, kept, storetest.Everything())
	again := storetest.Save(t, s, changed(), storetest.Meta("g"), kept)
	storetest.Expect(t, s, again.ID, changed())
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A day on nothing half written is left.
	d.Later += 25 * time.Hour
	if err := d.open(t, nil).Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, filepath.Join(d.Dir, "repository")) {
		if strings.Contains(name, ".tmp.") {
			t.Errorf("%s is left", name)
		}
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-aT", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
