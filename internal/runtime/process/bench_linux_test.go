package process

import (
	"os"
	"testing"
)

// BenchmarkStart measures a start, up to the execve of the command.
func BenchmarkStart(b *testing.B) {
	for _, parent := range parents(b) {
		b.Run(parent.Mode, func(b *testing.B) {
			dir := b.TempDir()
			r, err := New(Options{Dir: dir, DataDir: dir, CgroupParent: parent.Path})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
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
		})
	}
}
