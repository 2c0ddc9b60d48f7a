package chaos

import (
	"flag"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/cli"
	"creel/test/harness"
)

// asArmed as first argument makes this test binary a creel whose crashpoints are
// armed. The second one is the folder with the orders; the rest are creel's.
const asArmed = "armed-creel"

var flags struct {
	seed     uint64
	rounds   int
	duration time.Duration
	only     string
	worlds   int
	full     bool
	// artifacts is where failed worlds leave their history. A variable of the
	// environment would go down to creel, which refuses those that it does not
	// know.
	artifacts string
}

func TestMain(m *testing.M) {
	harness.RunIfAsked()
	if len(os.Args) > 2 && os.Args[1] == asArmed {
		arm(os.Args[2])
		os.Exit(cli.Main(os.Args[3:], os.Environ(), os.Stdout, os.Stderr))
	}
	flag.BoolVar(&flags.full, "chaos.full", false, "play all of the matrix: creel, the gateway and both killed everywhere")
	flag.Uint64Var(&flags.seed, "chaos.seed", 0, "seed of the order of rounds, of the load and of random moments; 0: a new one")
	flag.IntVar(&flags.rounds, "chaos.rounds", 0, "how many rounds of the matrix, and of each random world; 0: see chaos.full and chaos.duration")
	flag.DurationVar(&flags.duration, "chaos.duration", 20*time.Second, "how long random rounds are begun")
	flag.StringVar(&flags.only, "chaos.only", "", "the one case of the matrix that is to be played, as a failure names it")
	flag.IntVar(&flags.worlds, "chaos.worlds", 4, "how many creels are tormented at once")
	flag.StringVar(&flags.artifacts, "chaos.artifacts", "artifacts", "the folder in which failed worlds leave their history")
	flag.Parse()
	if flags.seed == 0 {
		flags.seed = uint64(time.Now().UnixNano())
	}
	// Worlds wait more than they work.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
