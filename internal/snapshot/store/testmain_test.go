package store_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/snapshot/storetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	storetest.CheapKeys()
	// What takes the time of these tests is waiting: for disks, and for a patience
	// to end. A core can take several at once.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
