package event

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be a process that records events until it is
// killed; see TestKilledWhileWriting.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CREEL_TEST_RECORD_INTO"); dir != "" {
		recordUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func recordUntilKilled(dir string) {
	j, err := Open(Options{Dir: dir, MaxBytes: 16 << 10, Keep: 1000})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		j.Record(Event{Kind: Ready, Message: fmt.Sprintf("number %d", i)})
		if i%100 == 99 {
			for j.unwritten() > 0 {
				runtime.Gosched()
			}
			fmt.Println(j.LastSeq()) // all up to here are written
		}
	}
}
