package process

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkStart measures a start, up to the execve of the command.
func BenchmarkStart(b *testing.B) {
	for _, parent := range parents(b) {
		b.Run(parent.Mode, func(b *testing.B) { benchmarkStart(b, parent) })
	}
}

func benchmarkStart(b *testing.B, parent Support) {
	dir := b.TempDir()
	r, err := New(Options{Dir: dir, DataDir: dir, CgroupParent: parent.Path})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	chooseLauncher(r)
	spec := roleSpec(freePort(b), "touch", os.DevNull)
	for b.Loop() {
		i, err := r.Start(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		<-i.Done()
		if err := i.Kill(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkStartHeap measures a start from a creel that has much memory in use.
func BenchmarkStartHeap(b *testing.B) {
	for _, size := range []int{0, 100 << 20, 500 << 20} {
		b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
			heap := make([]byte, size)
			for i := 0; i < size; i += 4096 {
				heap[i] = 1
			}
			benchmarkStart(b, Support{Path: NoCgroup})
			if size > 0 && heap[0] != 1 {
				b.Fatal("the heap is gone")
			}
		})
	}
}

// BenchmarkLaunch measures the launcher alone: from the fork to the execve of the
// command, with no record and no cgroup.
func BenchmarkLaunch(b *testing.B) {
	dir := b.TempDir()
	r, err := New(Options{Dir: dir, DataDir: dir, CgroupParent: NoCgroup})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	chooseLauncher(r)
	spec := roleSpec(freePort(b), "touch", os.DevNull)
	for b.Loop() {
		l, _, err := r.launch(spec, spec.Command[0], groups{main: emptyGroup{}})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.release(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := l.abort(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
