package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tinyPlan is enough to see that everything works. Its figures mean nothing.
var tinyPlan = plan{Rounds: 1, Warm: 5 * time.Millisecond, Count: 200 * time.Millisecond, Kills: 3, Crashes: 2, Boots: 1, Sockets: 20, Rests: 1, Assets: 20, Freezes: 2, Watch: 50 * time.Millisecond}

// newTestBench makes a bench whose creel is this test binary.
func newTestBench(t *testing.T) *bench {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBench(options{creel: self}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	b.plan = tinyPlan
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// All measurements are made on a real creel, and become a document.
func TestMeasureAll(t *testing.T) {
	b := newTestBench(t)
	r, err := b.measure(t.Context(), measurements)
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{Names: []string{"creel", "other"}, Versions: []string{"other 1.0"}}
	if err := c.row("failed", "requests", []float64{0}, []float64{3}); err != nil {
		t.Fatal(err)
	}
	r.Sections = append(r.Sections, section{Name: "peers", Title: "Other proxies", Compared: c})
	if len(r.Sections) != len(measurements)+1 || len(r.Unmeasured) > 0 {
		t.Fatalf("%d sections of %d, and %v were not measured", len(r.Sections), len(measurements), r.Unmeasured)
	}
	file := filepath.Join(b.dir, "benchmarks.md")
	if err := r.writeDocument(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Sections {
		for _, row := range s.Rows {
			if !strings.Contains(string(text), "| "+row.What+" | "+row.Unit+" | ") {
				t.Errorf("the document has no row %q", row.What)
			}
		}
	}
	for _, want := range []string{"| failed | requests | 0 | 3.00 |", "- other 1.0", "lb_try_duration"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document has no %q", want)
		}
	}
	for _, left := range []string{"<no value>", "%!", "NaN"} {
		if strings.Contains(string(text), left) {
			t.Errorf("the document has %q in it", left)
		}
	}
	noneLeft(t, b.dir)
}

// The gateway behind proxies is killed, and what became of requests is counted:
// creel has lost no GET, a proxy that repeats nothing has lost some, and neither
// has executed a POST twice.
func TestCrashes(t *testing.T) {
	b := newTestBench(t)
	g := gatewayOptions{boot: 30 * time.Millisecond, ledger: true}
	for _, k := range []contestant{b.creel, keptProxy{}} {
		r, err := b.crashes(t.Context(), k, g)
		if err != nil {
			t.Fatalf("%s: %v", k.name(), err)
		}
		if len(r.back) != b.plan.Crashes || r.safe.sent == 0 || r.unsafe.sent == 0 || r.twice != 0 {
			t.Errorf("%s: %+v", k.name(), r)
		}
		if lost := r.safe.lost > 0; lost == (k == b.creel) {
			t.Errorf("%s has lost %d of %d GETs", k.name(), r.safe.lost, r.safe.sent)
		}
	}
	noneLeft(t, b.dir)
}

// What a ledger says twice was executed twice; what it lacks was not answered.
func TestAudit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger")
	if err := os.WriteFile(file, []byte("a\nb\na\nc\na\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := crashLoad{answered: map[string]bool{"a": true, "b": true}}
	if twice, err := l.audit(file); twice != 1 || err != nil {
		t.Errorf("%d, %v", twice, err)
	}
	l.answered["d"] = true
	if _, err := l.audit(file); err == nil {
		t.Error("an answer to a request that was not executed has passed")
	}
}

// A measurement that fails is told and named, and does not keep others from
// being made.
func TestMeasureFails(t *testing.T) {
	b := newTestBench(t)
	b.plain = reverseProxy{}
	broken := measurement{name: "broken", title: "Broken", run: func(ctx context.Context, b *bench) ([]row, error) {
		_, err := b.stand(ctx, gatewayOptions{}, b.plain, creel{binary: filepath.Join(b.dir, "none")})
		return nil, err
	}}
	fine := measurement{name: "fine", title: "Fine", run: func(context.Context, *bench) ([]row, error) { return rowsOf(line{what: "x", creel: []float64{1}}) }}
	r, err := b.measure(t.Context(), []measurement{broken, fine})
	if err == nil || !strings.Contains(err.Error(), "cannot measure broken: cannot start creel") {
		t.Errorf("error %v, want one that names the measurement and the contestant", err)
	}
	if len(r.Sections) != 1 || len(r.Unmeasured) != 1 || r.Unmeasured[0] != "broken" {
		t.Errorf("measured %v, not measured %v", r.Sections, r.Unmeasured)
	}
	if err := publish(r, options{write: filepath.Join(b.dir, "doc")}, io.Discard); err == nil {
		t.Error("a document with a gap was written")
	}
	noneLeft(t, b.dir)
}

// An interrupt in the middle of things leaves neither processes nor folders.
func TestInterrupted(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout, stderr bytes.Buffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"-creel", self, "-only", "recovery"}, &stdout, &stderr) }() // ended below
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		if found, _ := filepath.Glob(filepath.Join(tmp, "creel-bench-*", "boot-*", "output")); len(found) > 0 {
			break // creel stands, and kills have begun
		}
		select {
		case <-tick.C:
		case c := <-code:
			t.Fatalf("it ended with %d before it was interrupted: %s", c, &stderr)
		case <-deadline:
			t.Fatalf("nothing was measured within a minute: %s", &stderr)
		}
	}
	interrupt()
	if c := <-code; c != exitUnmeasured || !strings.Contains(stderr.String(), "stopped while measuring recovery") {
		t.Errorf("it ended with %d: %s", c, &stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("folders were left behind: %v", left)
	}
	noneLeft(t, tmp)
}

// A contestant that had to be killed has left its gateway alive.
func TestKillTagged(t *testing.T) {
	b := newTestBench(t)
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.dir, "tag")
	start := func(dir string) *child {
		p, err := startChild(filepath.Join(b.dir, "output"), append(os.Environ(), "PORT="+portOf(addr)), gatewayOptions{boot: time.Hour}.command(b, dir)...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ours, other := start(dir), start(dir+"-of-another-run")
	if err := killTagged(dir); err != nil {
		t.Error(err)
	}
	<-ours.ended
	if ours.err.Error() != "signal: killed" {
		t.Errorf("the process with the tag ended with %q", ours.err)
	}
	if err := other.terminate(time.Minute); err != nil {
		t.Errorf("the process with another tag: %v", err)
	}
	if other.err.Error() != "signal: terminated" {
		t.Errorf("the process with another tag ended with %q", other.err)
	}
}

// noneLeft looks for processes with dir in their command line.
func noneLeft(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte(dir)) {
			t.Errorf("a process was left behind: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		args  string
		only  string // names, or
		fault string
	}{
		{"", "pass bulk recovery held relay sockets idle snapshot hog", ""},
		{"-only recovery,pass -creel x", "pass recovery", ""},
		{"-only sing", "", `"sing"`},
		{"-write x -peers y -quick", "", "cannot write a document"},
		{"-write x -peers y -only pass", "", "cannot write a document"},
		{"-write x", "", "cannot write a document"},
		{"-write x -peers y", "pass bulk recovery held relay sockets idle snapshot hog peers", ""},
		{"-only peers -peers y", "peers", ""},
		{"-only peers", "", "bench/setup-peers"},
		{"pass", "", "only flags"},
		{"-loud", "", "loud"},
	} {
		o, err := parseOptions(strings.Fields(c.args), io.Discard)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q: error %v, want one with %q", c.args, err, c.fault)
			}
			continue
		}
		var names []string
		for _, m := range o.only {
			names = append(names, m.name)
		}
		if got := strings.Join(names, " "); err != nil || got != c.only {
			t.Errorf("%q: %q, %v; want %q", c.args, got, err, c.only)
		}
	}
	if code := run(t.Context(), []string{"-creel", "/none"}, io.Discard, io.Discard); code != exitUnmeasured {
		t.Errorf("without a creel: exit code %d", code)
	}
	if code := run(t.Context(), []string{"-only", "x"}, io.Discard, io.Discard); code != exitUsage {
		t.Errorf("wrong usage: exit code %d", code)
	}
}
