package crashgw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestItem(t *testing.T) {
	p := Start(t, Options{Ledger: ledgerPath(t)}, "CREEL_GENERATION=3")
	for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
		r, err := request(t, method, p.URL+"/item?id="+method, "abc", "Idempotency-Key: k-"+method)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%s: %v %v", method, r.Response, err)
		}
		if got, want := decode[Item](t, r), (Item{ID: method, PID: p.PID}); got != want {
			t.Errorf("%s: answer %+v, want %+v", method, got, want)
		}
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, B.1
	entries := p.Ledger().Entries
	if len(entries) != 4 {
		t.Fatalf("%d entries, want 4", len(entries))
	}
	want := Entry{PID: p.PID, Generation: "3", Kind: KindExecuted, Method: "POST", ID: "POST", Key: "k-POST", SHA256: abc, Bytes: 3}
	got := entries[2]
	if got.Time.IsZero() {
		t.Error("an entry has no time")
	}
	got.Time = time.Time{}
	if got != want {
		t.Errorf("entry %+v, want %+v", got, want)
	}
	if r := mustGet(t, p.URL+"/ledger", 200); strings.Count(string(r.body), "\n") != 4 {
		t.Errorf("/ledger gives %q", r.body)
	}
	mustGet(t, p.URL+"/item", 400)
	mustGet(t, Start(t, Options{}).URL+"/item?id=1", 400)
}

// TestCutBodyIsNotExecuted: the client leaves before the body's end.
func TestCutBodyIsNotExecuted(t *testing.T) {
	p := Start(t, Options{Ledger: ledgerPath(t)})
	conn := dial(t, p)
	if _, err := fmt.Fprint(conn, "POST /item?id=cut HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if raw, _ := readAll(t, conn); !strings.HasPrefix(raw, "HTTP/1.1 400") {
		t.Errorf("got %q", raw)
	}
	if n := len(p.Ledger().Entries); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}

// TestLedgerSurvivesSIGKILL: all that was answered is in the file.
func TestLedgerSurvivesSIGKILL(t *testing.T) {
	p := Start(t, Options{Ledger: ledgerPath(t)})
	var mu sync.Mutex
	answered := make(map[string]bool)
	var clients sync.WaitGroup
	enough := make(chan struct{})
	var once sync.Once
	for client := range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", client, i)
				r, err := request(t, "POST", p.URL+"/item?id="+id, "x")
				if err != nil || r.StatusCode != 200 {
					return // killed
				}
				mu.Lock()
				answered[id] = true
				n := len(answered)
				mu.Unlock()
				if n >= 50 {
					once.Do(func() { close(enough) })
				}
			}
		})
	}
	<-enough
	p.Kill()
	clients.Wait()
	if ws := p.Wait(testFor); ws.Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v, want SIGKILL", p.state)
	}
	executed := p.Ledger().Executions()
	for id := range answered {
		if executed[id] != 1 {
			t.Errorf("%s was answered and is %d times in the ledger", id, executed[id])
		}
	}
}

func TestIdempotencyKeyAcrossProcesses(t *testing.T) {
	ledger := ledgerPath(t)
	post := func(p *Process, method, key string) Item {
		t.Helper()
		r, err := request(t, method, p.URL+"/item?id="+key, "x", "Idempotency-Key: "+key)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%v %v", r.Response, err)
		}
		return decode[Item](t, r)
	}
	first := Start(t, Options{Ledger: ledger})
	second := Start(t, Options{Ledger: ledger}) // alive together, as with an orphan
	steps := []struct {
		p         *Process
		method    string
		key       string
		duplicate bool
	}{
		{first, "POST", "a", false},
		{first, "POST", "a", true},
		{second, "PATCH", "a", true}, // written after second's start
		{second, "POST", "b", false},
		{first, "POST", "b", true},
		{first, "PUT", "a", false}, // only POST and PATCH
		{first, "GET", "c", false},
		{second, "POST", "d", false},
	}
	for i, s := range steps {
		if got := post(s.p, s.method, s.key); got.Duplicate != s.duplicate || got.PID != s.p.PID {
			t.Errorf("step %d: %+v, want duplicate %v of pid %d", i, got, s.duplicate, s.p.PID)
		}
	}
	first.Kill()
	third := Start(t, Options{Ledger: ledger})
	if got := post(third, "POST", "a"); !got.Duplicate {
		t.Errorf("after a restart: %+v, want a duplicate", got)
	}
	repeats := 0
	for _, e := range third.Ledger().Entries {
		if e.Kind == KindRepeat {
			repeats++
		}
	}
	if repeats != 4 {
		t.Errorf("%d repeats recorded, want 4", repeats)
	}
	if twice := third.Ledger().ExecutedTwice("POST", "PATCH"); len(twice) != 0 {
		t.Errorf("executed twice: %v", twice)
	}
	if twice := third.Ledger().ExecutedTwice(); !slices.Equal(twice, []string{"a"}) {
		t.Errorf("executed twice by any method: %v, want a (POST and PUT)", twice)
	}
}

// TestSameKeyAtOnce: of many, on two processes, one is executed.
func TestSameKeyAtOnce(t *testing.T) {
	ledger := ledgerPath(t)
	processes := []*Process{Start(t, Options{Ledger: ledger}), Start(t, Options{Ledger: ledger})}
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			r, err := request(t, "POST", processes[i%2].URL+"/item?id=1", "x", "Idempotency-Key: same")
			if err != nil || r.StatusCode != 200 {
				t.Errorf("%v %v", r.Response, err)
			}
		})
	}
	clients.Wait()
	l := processes[0].Ledger()
	if n := l.Executions()["1"]; n != 1 || len(l.Entries) != 20 {
		t.Errorf("executed %d times in %d lines, want once in 20", n, len(l.Entries))
	}
}

// TestTornLine: a line that its writer could not finish neither counts nor
// spoils the next one.
func TestTornLine(t *testing.T) {
	path := ledgerPath(t)
	whole, err := json.Marshal(Entry{Kind: KindExecuted, Method: "POST", ID: "1", Key: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	torn := `{"time":"2026-01-01T00:00:00Z","kind":"executed","id":"2","key":"k2"`
	if err := os.WriteFile(path, []byte(string(whole)+"\n"+torn), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err := ReadLedger(path); err != nil || len(l.Entries) != 1 || l.Torn != 0 {
		t.Errorf("while it may still be being written: %+v, %v", l, err)
	}
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.f.Close()
	for key, known := range map[string]bool{"k1": true, "k2": false} {
		repeat, err := l.record(t.Context(), Entry{Kind: KindExecuted, ID: key, Key: key}, true)
		if err != nil || repeat != known {
			t.Errorf("%s: repeat %v, %v; want %v", key, repeat, err, known)
		}
	}
	got, err := ReadLedger(path)
	if err != nil || len(got.Entries) != 3 || got.Torn != 1 {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}

// TestLedgerLock: the wait for another process ends with the request.
func TestLedgerLock(t *testing.T) {
	path := ledgerPath(t)
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.f.Close()
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := l.record(ctx, Entry{Kind: KindExecuted, ID: "1"}, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
	if _, err := ReadLedger(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v for a missing ledger", err)
	}
}
