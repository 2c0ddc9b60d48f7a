// Command bench measures what creel costs and what it saves.
//
// It guarantees:
//   - Contestants are compared within one run. They take turns, round by round,
//     and a ratio is taken within a round before it is summed up over rounds, so
//     that a slow minute of the machine hits both sides of it.
//   - A figure that could not be obtained is an error and exit code 1, never a
//     gap in the table. A bar that is missed is a result and no error.
//   - Everything under measurement is a process of its own: the gateway, the
//     proxy in front of it and the load generator. The last two, and all
//     contestants that are written in Go, are this same binary, started again
//     with a role as its first argument.
//   - When it ends, by itself or by SIGINT or SIGTERM, its processes have ended
//     and its folder is removed. SIGKILL leaves a creel behind.
//
// It refuses to write the document from a run that is not a whole one.
//
// What was rejected: testing.B (it measures the processor time of the load
// generator as well, and knows no rounds); load generators from elsewhere (the
// benchmark is to need nothing but Go, and net/http as a client costs as much as
// the proxy that is to be measured); absolute bars on throughput (they tell of
// the machine).
//
// A peer to compare with is a [contestant]; a thing to measure is a
// [measurement], in a file of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitFine = iota
	exitUnmeasured
	exitUsage
)

// wholeRun bounds a run. The longest takes about seven minutes on two cores.
const wholeRun = 25 * time.Minute

func main() {
	if code, ok := runRole(os.Args[1:]); ok {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, wholeRun)
	defer cancel()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	creel string // binary to measure
	write string // document to write; empty: none
	peers string // folder with the peers; empty: there are none
	quick bool
	only  []measurement
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.creel, "creel", "bin/creel", "creel binary to measure")
	flags.StringVar(&o.write, "write", "", "write the results as a document to this file")
	flags.StringVar(&o.peers, "peers", "", "compare with nginx, HAProxy, Caddy, rclone and restic too, which bench/setup-peers has put into this folder (or which are in PATH)")
	flags.BoolVar(&o.quick, "quick", false, "a run of about half a minute, for a first look")
	flags.StringVar(&only, "only", "", "measure only these, separated by commas: "+strings.Join(measurementNames(), ", "))
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("cannot use the argument %q: there are only flags", flags.Arg(0))
	}
	if o.write != "" && (o.quick || only != "" || o.peers == "") {
		return o, errors.New("cannot write a document from a part of the measurements: leave out -quick and -only, and give -peers")
	}
	var err error
	o.only, err = chooseMeasurements(only, o.peers != "")
	return o, err
}

// run measures and reports, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitFine
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitUsage
	}
	b, err := newBench(o, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitUnmeasured
	}
	r, err := b.measure(ctx, o.only)
	err = errors.Join(err, b.close())
	if reportErr := publish(r, o, stdout); reportErr != nil {
		err = errors.Join(err, reportErr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitUnmeasured
	}
	return exitFine
}

// publish prints the table and, if that is wanted and the run was whole, writes
// the document.
func publish(r report, o options, stdout io.Writer) error {
	if _, err := io.WriteString(stdout, r.table()); err != nil {
		return fmt.Errorf("cannot print the table: %w", err)
	}
	if o.write == "" {
		return nil
	}
	if len(r.Unmeasured) > 0 {
		return fmt.Errorf("cannot write %s: something could not be measured", o.write)
	}
	return r.writeDocument(o.write)
}
