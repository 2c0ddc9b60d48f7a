package event

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/telemetry"
)

// open opens a journal that is closed when the test ends.
func open(t *testing.T, o Options) *Journal {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = j.Close(ctx) // the tests that care have closed it themselves
	})
	return j
}

func closeNow(t *testing.T, j *Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// await polls until cond holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !cond() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// record records n events and waits until they are written.
func record(t *testing.T, j *Journal, n int) {
	t.Helper()
	for range n {
		j.Record(Event{Kind: Ready, Gateway: "main", Message: "it answers"})
	}
	await(t, "the events are written", func() bool { return j.unwritten() == 0 })
}

func seqs(events []Event) []uint64 {
	var out []uint64
	for _, e := range events {
		out = append(out, e.Seq)
	}
	return out
}

// all collects what an iterator gives without errors.
func all(t *testing.T, seq iter.Seq2[Event, error]) []Event {
	t.Helper()
	var out []Event
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// span lists the numbers from first to last.
func span(first, last uint64) []uint64 {
	var out []uint64
	for s := first; s <= last; s++ {
		out = append(out, s)
	}
	return out
}

func wantSeqs(t *testing.T, what string, got []Event, want []uint64) {
	t.Helper()
	if !slices.Equal(seqs(got), want) {
		t.Errorf("%s: got numbers %v, want %v", what, seqs(got), want)
	}
}

func TestNumbersGoOnAcrossRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "journal") // made when it is missing
	for run := range uint64(3) {
		j := open(t, Options{Dir: dir})
		if got := j.LastSeq(); got != 10*run {
			t.Errorf("run %d begins after %d", run, got)
		}
		record(t, j, 10)
		closeNow(t, j)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder %v, %v", info.Mode(), err)
	}
	wantSeqs(t, "ReadDir", all(t, ReadDir(dir, 0, 0)), span(1, 30))
	j := open(t, Options{Dir: dir})
	wantSeqs(t, "Recent", j.Recent(3), span(28, 30))
	wantSeqs(t, "Recent, more than there are", j.Recent(100), span(1, 30))
	closeNow(t, j)
	j = open(t, Options{Dir: dir, Memory: 7})
	wantSeqs(t, "Recent, of a file with more than memory holds", j.Recent(100), span(24, 30))
	if got := j.Recent(-1); len(got) != 0 {
		t.Errorf("Recent(-1) gives %v", got)
	}
}

func TestAnEventComesBackAsItWas(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	at := time.Date(2026, 3, 4, 5, 6, 7, 89, time.FixedZone("", 3600))
	j.Record(Event{Time: at, Kind: Exited, Gateway: "main", Generation: 7, Message: "it ended", Cause: "signal",
		Fields: map[string]any{"signal": "SIGKILL", "uptime_ms": 12}})
	j.Record(Event{Kind: Ready})
	closeNow(t, j)
	got := all(t, ReadDir(dir, 0, 0))
	if len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	want := `{1 2026-03-04 04:06:07.000000089 +0000 UTC exited main 7 it ended signal map[signal:SIGKILL uptime_ms:12]}`
	if text := fmt.Sprint(got[0]); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if since := time.Since(got[1].Time); since < 0 || since > time.Minute || got[1].Time.Location() != time.UTC {
		t.Errorf("the time that the journal set is %v", got[1].Time)
	}
	info, err := os.Stat(filepath.Join(dir, active))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSecretsReachNeitherFilesNorReaders(t *testing.T) {
	const secret = "of-this-test-alone-9313"
	if err := telemetry.Register(secret); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	j.Record(Event{Kind: Kind("a" + secret), Gateway: secret, Message: "sent " + secret, Cause: "x" + secret,
		Fields: map[string]any{
			"text": secret, "k" + secret: 1, "error": errors.New("at " + secret),
			"list": []string{secret}, "deep": map[string]any{"url": "/?token=leaked"}, "password": "leaked",
		}})
	shown := fmt.Sprint(j.Recent(1))
	closeNow(t, j)
	stored, err := os.ReadFile(filepath.Join(dir, active))
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"memory": shown, "file": string(stored)} {
		if strings.Contains(text, secret) || strings.Contains(text, "leaked") {
			t.Errorf("%s: a secret is shown: %s", where, text)
		}
		if !strings.Contains(text, telemetry.Mask) {
			t.Errorf("%s: nothing was redacted: %s", where, text)
		}
	}
}

func TestEventsAreBoundedAndOnesOwn(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	fields := map[string]any{"a": 1}
	j.Record(Event{Kind: Ready, Fields: fields})
	fields["a"] = "changed"
	j.Record(Event{Message: strings.Repeat("ä", maxMessage), Gateway: strings.Repeat("g", 1000)})
	j.Record(Event{Kind: Ready, Fields: map[string]any{"big": strings.Repeat("x", maxFields)}})
	j.Record(Event{Kind: Ready, Time: time.Date(30000, 1, 1, 0, 0, 0, 0, time.UTC), Fields: map[string]any{"f": func() {}}})
	closeNow(t, j)
	got := all(t, ReadDir(dir, 0, 0))
	wantSeqs(t, "ReadDir", got, span(1, 4))
	if fmt.Sprint(got[0].Fields) != "map[a:1]" {
		t.Errorf("the fields changed: %v", got[0].Fields)
	}
	if m := got[1].Message; len(m) > maxMessage || !strings.HasSuffix(m, "ä …") {
		t.Errorf("a message of %d bytes ends in %q", len(m), m[len(m)-8:])
	}
	if len(got[1].Gateway) > maxWord || got[1].Kind == "" {
		t.Errorf("gateway %d bytes, kind %q", len(got[1].Gateway), got[1].Kind)
	}
	if !strings.Contains(fmt.Sprint(got[2].Fields), "too many") {
		t.Errorf("big fields: %v", got[2].Fields)
	}
	if got[3].Time.Year() > 9999 {
		t.Errorf("year %d", got[3].Time.Year())
	}
}

func TestManyGoroutinesRecordInOneOrder(t *testing.T) {
	dir := t.TempDir()
	const writers, each = 8, 200
	j := open(t, Options{Dir: dir, Memory: writers * each})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				j.Record(Event{Kind: Ready, Generation: uint64(i), Gateway: fmt.Sprint(w)})
			}
		})
	}
	wg.Wait()
	closeNow(t, j)
	got := all(t, ReadDir(dir, 0, 0))
	wantSeqs(t, "files", got, span(1, writers*each))
	wantSeqs(t, "memory", j.Recent(writers*each), span(1, writers*each))
	next := map[string]uint64{}
	for _, e := range got {
		if e.Generation != next[e.Gateway] {
			t.Fatalf("goroutine %s: event %d where %d was due", e.Gateway, e.Generation, next[e.Gateway])
		}
		next[e.Gateway]++
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxBytes: 2000, Keep: 3, Memory: 5})
	for range 100 {
		record(t, j, 1)
	}
	closeNow(t, j)
	names, err := rotatedFiles(dir)
	if err != nil || len(names) != 3 {
		t.Fatalf("rotated files %v, %v", names, err)
	}
	for _, n := range names {
		info, err := os.Stat(filepath.Join(dir, n.name))
		if err != nil || info.Size() > 2000 || info.Size() < 1000 {
			t.Errorf("%s: %v, %v", n.name, info, err)
		}
	}
	got := all(t, ReadDir(dir, 0, 0))
	wantSeqs(t, "all that is kept", got, span(names[0].first, 100))
	wantSeqs(t, "a part of one file", all(t, ReadDir(dir, names[1].first+2, 4)), span(names[1].first+3, names[1].first+6))
	for _, n := range names[1:] { // over the border of two files
		wantSeqs(t, "from the last of a file on", all(t, ReadDir(dir, n.first-2, 2)), span(n.first-1, n.first))
	}
	if got, err := Tail(dir, 30); err != nil {
		t.Error(err)
	} else {
		wantSeqs(t, "Tail", got, span(71, 100))
	}

	j = open(t, Options{Dir: dir, MaxBytes: 2000, Keep: 3, Memory: 20})
	if j.LastSeq() != 100 {
		t.Errorf("goes on after %d", j.LastSeq())
	}
	wantSeqs(t, "Recent over two files", j.Recent(18), span(83, 100))
	wantSeqs(t, "Since, from files and memory", all(t, j.Since(70, 0)), span(71, 100))
	wantSeqs(t, "Since, limited", all(t, j.Since(70, 5)), span(71, 75))
	wantSeqs(t, "Since, from memory", all(t, j.Since(98, 0)), span(99, 100))
	wantSeqs(t, "Since the end", all(t, j.Since(100, 0)), nil)
	for e := range j.Since(0, 0) { // leaving early is fine
		_ = e
		break
	}
}

// A file that has lost its end after it was rotated is damaged, which is said: its last
// line is not one that is being written.
func TestRotatedFileIsCut(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxBytes: 500})
	for range 10 {
		record(t, j, 1)
	}
	closeNow(t, j)
	names, err := rotatedFiles(dir)
	if err != nil || len(names) < 2 {
		t.Fatalf("rotated files %v, %v", names, err)
	}
	path := filepath.Join(dir, names[0].name)
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-10)
	}
	if err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	var got []Event
	for e, err := range ReadDir(dir, 0, 0) {
		if err == nil {
			got = append(got, e)
		} else if !errors.As(err, &damage) {
			t.Error(err)
		}
	}
	if damage == nil || damage.Path != path || len(got) != 9 {
		t.Errorf("damage %v, events %v", damage, seqs(got))
	}
}

// What was rotated is on the disk: nobody syncs it afterwards.
func TestRotatedFilesAreSynced(t *testing.T) {
	var syncs atomic.Int32
	j := open(t, Options{Dir: t.TempDir(), MaxBytes: 200, openFile: func(path string) (file, error) {
		f, err := openForAppend(path)
		return countingFile{f, &syncs}, err
	}})
	record(t, j, 1)
	before := syncs.Load()
	record(t, j, 2)
	if n := syncs.Load() - before; n == 0 {
		t.Errorf("%d syncs in a rotation", n)
	}
}

// A file of the name that one is rotated to is not written over: it may be all that is
// left of other events.
func TestRotationNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxBytes: 200})
	record(t, j, 1)
	if err := os.WriteFile(filepath.Join(dir, rotatedName(1)), []byte("of somebody else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	record(t, j, 2)
	closeNow(t, j)
	if text, err := os.ReadFile(filepath.Join(dir, rotatedName(1))); err != nil || string(text) != "of somebody else\n" {
		t.Errorf("it became %q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, active+".duplicate-1")); err != nil || !strings.Contains(string(text), `"seq":1,`) {
		t.Errorf("put beside it was %q, %v", text, err)
	}
	if found := troubles(j.Recent(10)); len(found) == 0 || found[0].Cause != "set_aside" || !strings.Contains(found[0].Message, "duplicate-1") {
		t.Errorf("troubles %v", found)
	}
}

// A file that is empty after a rotation must not make the numbers begin anew.
func TestNumbersGoOnAfterARotation(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	record(t, j, 9)
	closeNow(t, j)
	if err := os.Rename(filepath.Join(dir, active), filepath.Join(dir, rotatedName(1))); err != nil {
		t.Fatal(err)
	}
	j = open(t, Options{Dir: dir})
	record(t, j, 1)
	wantSeqs(t, "Since", all(t, j.Since(0, 0)), span(1, 10))
}

func TestTwoWritersAreRefused(t *testing.T) {
	dir := t.TempDir()
	first := open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir, LockWait: time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
	opened := make(chan error)
	go func() {
		j, err := Open(Options{Dir: dir, LockWait: time.Minute}) // waits for the first to go
		if err == nil {
			err = j.Close(context.Background())
		}
		opened <- err
	}()
	closeNow(t, first)
	if err := <-opened; err != nil {
		t.Error(err)
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("a journal without a folder was opened")
	}
}

func TestClosedJournal(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.MetricsOptions{})
	j := open(t, Options{Dir: t.TempDir(), Metrics: m})
	record(t, j, 1)
	closeNow(t, j)
	j.Record(Event{Kind: Ready})
	if j.LastSeq() != 1 || j.Lost() != 1 {
		t.Errorf("last %d, lost %d", j.LastSeq(), j.Lost())
	}
	closeNow(t, j) // once more
}

// countingFile counts the calls of Sync.
type countingFile struct {
	file
	syncs *atomic.Int32
}

func (f countingFile) Sync() error {
	f.syncs.Add(1)
	return f.file.Sync()
}

func TestWritesAreSyncedWithinASecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int32
		j, err := Open(Options{Dir: dir, openFile: func(path string) (file, error) {
			f, err := openForAppend(path)
			return countingFile{f, &syncs}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			j.Record(Event{Kind: Ready})
			synctest.Wait()
			time.Sleep(100 * time.Millisecond) // of the bubble's clock
		}
		if synctest.Wait(); syncs.Load() != 0 {
			t.Errorf("%d syncs within half a second", syncs.Load())
		}
		time.Sleep(600 * time.Millisecond) // from the first write on, not from the last
		if synctest.Wait(); syncs.Load() != 1 {
			t.Errorf("%d syncs after a second, want 1", syncs.Load())
		}
		time.Sleep(time.Hour)
		if synctest.Wait(); syncs.Load() != 1 {
			t.Errorf("%d syncs with nothing to sync, want 1", syncs.Load())
		}
		j.Record(Event{Kind: Ready})
		if err := j.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if syncs.Load() != 2 {
			t.Errorf("%d syncs after Close, want 2", syncs.Load())
		}
	})
}
