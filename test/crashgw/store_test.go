package crashgw

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestStore: what was added is there for the next process, keys and values that
// are known add nothing, and forget makes the process forget keys.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	p := Start(t, Options{Store: path})
	put := func(p *Process, method, query, value string, headers ...string) Stored {
		t.Helper()
		r, err := request(t, method, p.URL+"/store?list=a"+query, value, headers...)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%s: %v %v", method, r.Response, err)
		}
		return decode[Stored](t, r)
	}
	want := func(got Stored, duplicate bool, values ...string) {
		t.Helper()
		if got.Duplicate != duplicate || !slices.Equal(got.Values, values) {
			t.Errorf("got %+v, want %v (duplicate: %t)", got, values, duplicate)
		}
	}
	want(put(p, "GET", "", ""), false)
	want(put(p, "POST", "", "1"), false, "1")
	want(put(p, "POST", "", "1"), false, "1", "1")
	want(put(p, "PUT", "", "1"), true, "1", "1")
	want(put(p, "PUT", "", "2"), false, "1", "1", "2")
	want(put(p, "POST", "", "3", "Idempotency-Key: k"), false, "1", "1", "2", "3")
	p.Kill()
	p = Start(t, Options{Store: path})
	want(put(p, "POST", "", "3", "Idempotency-Key: k"), true, "1", "1", "2", "3")
	want(put(p, "POST", "&forget=1", "3", "Idempotency-Key: k"), false, "1", "1", "2", "3", "3")
	lines, err := ReadStore(path)
	if err != nil || len(lines) != 5 || lines[4].PID != p.PID || lines[4].Mono <= lines[0].Mono {
		t.Errorf("the file holds %+v, %v", lines, err)
	}
	mustGet(t, p.URL+"/store", 400)
	mustGet(t, Start(t, Options{}).URL+"/store?list=a", 400)
}

// TestLives: starts and orderly ends are recorded, a kill frees the place, and a
// second process that lives at the same time is told from a successor.
func TestLives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lives")
	var pids []int
	for range 2 {
		p := Start(t, Options{Lives: path}, "CREEL_GENERATION=7")
		pids = append(pids, p.PID)
		p.Kill()
	}
	beside := Start(t, Options{Lives: path, Orphan: OrphanHold})
	second := Start(t, Options{Lives: path})
	second.Signal(syscall.SIGTERM)
	second.Wait(30 * time.Second)
	lives, err := ReadLives(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range lives {
		if i > 0 && lives[i].Mono <= lives[i-1].Mono {
			t.Errorf("line %d is not later than the one before", i)
		}
		lives[i].Mono = 0
	}
	want := []Life{
		{Kind: LifeStart, PID: pids[0], Generation: "7"},
		{Kind: LifeStart, PID: pids[1], Generation: "7"},
		{Kind: LifeStart, PID: beside.PID},
		{Kind: LifeOverlap, PID: second.PID, Beside: beside.PID},
		{Kind: LifeEnd, PID: second.PID},
	}
	if !slices.Equal(lives, want) {
		t.Errorf("got  %+v\nwant %+v", lives, want)
	}
	beside.Kill() // its orphan, which lives on, has not the lock
	last := Start(t, Options{Lives: path})
	lives, err = ReadLives(path)
	if err != nil || lives[len(lives)-1].Kind != LifeStart || lives[len(lives)-1].PID != last.PID {
		t.Errorf("got %+v, %v", lives, err)
	}
}
