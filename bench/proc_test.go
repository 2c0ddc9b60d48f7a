package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const rollup = `5631a057b000-7ffd6e9ba000 ---p 00000000 00:00 0                          [rollup]
Rss:                1704 kB
Pss:                 225 kB
Pss_Anon:            112 kB
Anonymous:           112 kB
AnonHugePages:         0 kB
`

func TestParseRollup(t *testing.T) {
	got, err := parseRollup([]byte(rollup))
	if want := (memory{Resident: 1704 * 1024, Anonymous: 112 * 1024}); err != nil || got != want {
		t.Errorf("parseRollup = %+v, %v; want %+v", got, err, want)
	}
	for name, text := range map[string]string{
		"no Anonymous":   strings.Replace(rollup, "Anonymous:", "Anonymity:", 1),
		"no Rss":         strings.Replace(rollup, "Rss:", "Vss:", 1),
		"another unit":   strings.Replace(rollup, "1704 kB", "1704 MB", 1),
		"not a number":   strings.Replace(rollup, "1704", "many", 1),
		"nothing at all": "",
	} {
		if got, err := parseRollup([]byte(text)); err == nil {
			t.Errorf("%s: parseRollup = %+v, want an error", name, got)
		}
	}
}

func TestMemoryOfGrows(t *testing.T) {
	before, err := memoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.Anonymous <= 0 || before.Resident < before.Anonymous {
		t.Errorf("memory of this process: %+v", before)
	}
	const size = 64 << 20
	b, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	after, err := memoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Munmap(b); err != nil {
		t.Fatal(err)
	}
	// The garbage collector may have given some back meanwhile.
	if grown := after.Anonymous - before.Anonymous; grown < size*3/4 {
		t.Errorf("after %d bytes were touched, memory grew by %d", size, grown)
	}
}

// The CPU clock is to agree with getrusage(2), which covers all threads too.
func TestCPUTime(t *testing.T) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for range 3 {
		low := used()
		got, err := cpuTime([]int{os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		burn(5 * time.Millisecond)
		high := used()
		if got < low || got >= high {
			t.Errorf("CPU clock = %v, want from %v to %v", got, low, high)
		}
	}
	both, err := cpuTime([]int{os.Getpid(), os.Getpid()})
	if one := used(); err != nil || both <= one {
		t.Errorf("processor time of two processes = %v, %v; want more than the %v of one", both, err, one)
	}
}

// burn uses processor time.
func burn(d time.Duration) {
	var begin, now syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &begin) != nil {
		return
	}
	for now = begin; now.Utime.Nano()+now.Stime.Nano() < begin.Utime.Nano()+begin.Stime.Nano()+d.Nanoseconds(); {
		runtime.Gosched()
		if syscall.Getrusage(syscall.RUSAGE_SELF, &now) != nil {
			return
		}
	}
}

func TestGoneProcess(t *testing.T) {
	const gone = 1 << 22 // the kernel's largest pid is one less (PID_MAX_LIMIT)
	if d, err := cpuTime([]int{gone}); err == nil {
		t.Errorf("processor time of a process that does not exist: %v", d)
	}
	if m, err := memoryOf(gone); err == nil {
		t.Errorf("memory of a process that does not exist: %+v", m)
	}
}

func TestParseCPUModel(t *testing.T) {
	const info = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 1\nmodel name\t: AMD EPYC: 7B13\nmodel name\t: another\n"
	if got := parseCPUModel([]byte(info)); got != "AMD EPYC: 7B13" {
		t.Errorf("model = %q", got)
	}
	if got := parseCPUModel([]byte("processor: 0\n")); !strings.Contains(got, runtime.GOARCH) {
		t.Errorf("without a model: %q, want the architecture", got)
	}
}

func TestParseLoadAndMemTotal(t *testing.T) {
	if got, err := parseLoad([]byte("12.43 10.75 7.17 12/318 3055\n")); err != nil || got != 12.43 {
		t.Errorf("load = %v, %v", got, err)
	}
	if got, err := parseLoad([]byte("high")); err == nil {
		t.Errorf("load = %v, want an error", got)
	}
	if got, err := parseMemTotal([]byte("MemFree: 5 kB\nMemTotal:       24684544 kB\n")); err != nil || got != 24684544*1024 {
		t.Errorf("memory = %v, %v", got, err)
	}
	if got, err := parseMemTotal([]byte("MemFree: 5 kB\n")); err == nil {
		t.Errorf("memory = %v, want an error", got)
	}
}

func TestBusySince(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	before, err := parseTicks("cpu  100 0 50 800 50 0 0 0 90 0\ncpu0 1 2 3\n")
	if want := (ticks{idle: 850, all: 1000}); err != nil || before != want {
		t.Fatalf("parseTicks = %+v, %v; want %+v", before, err, want)
	}
	after, err := parseTicks("cpu  110 5 55 860 60 0 4 6 99 0\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := after.busySince(before); err != nil || got < 0.299 || got > 0.301 {
		t.Errorf("busy = %v, %v; want 30 of 100", got, err)
	}
	if got, err := before.busySince(before); err == nil {
		t.Errorf("busy in no time = %v, want an error", got)
	}
	for _, text := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 x 5 6 7 8"} {
		if got, err := parseTicks(text); err == nil {
			t.Errorf("parseTicks(%q) = %+v, want an error", text, got)
		}
	}
}

func TestThisMachine(t *testing.T) {
	m, err := thisMachine()
	if err != nil {
		t.Fatal(err)
	}
	if m.CPU == "" || m.Cores < 1 || m.Memory <= 0 || m.Kernel == "" || m.Go == "" {
		t.Errorf("something is missing: %+v", m)
	}
}
