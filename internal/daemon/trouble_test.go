package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/health"
	"creel/internal/probe"
	"creel/internal/telemetry"
)

// troubled is a daemon as far as what is wrong with it goes.
func troubled(t *testing.T) *daemon {
	t.Helper()
	cfg := config.Defaults()
	cfg.DataDir, cfg.Gateway.Name = t.TempDir(), "main"
	d := &daemon{log: slog.New(slog.DiscardHandler), look: make(chan struct{}, 1)}
	d.now.Store(&cfg)
	d.metrics = telemetry.NewMetrics(telemetry.MetricsOptions{Conditions: conditionNames()})
	j, err := event.Open(event.Options{Dir: filepath.Join(t.TempDir(), "journal")})
	if err != nil {
		t.Fatal(err)
	}
	d.journal.present.Store(j)
	d.health = d.newHealth()
	d.disk, d.spare = health.NewDisk(cfg.DataDir, d.health), health.NewSpare(d.health)
	t.Cleanup(func() {
		d.closeHealth()
		if err := j.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// told gives what was journalled last of a kind.
func (d *daemon) told(kind event.Kind) (last event.Event) {
	for _, e := range d.journal.present.Load().Recent(100) {
		if e.Kind == kind {
			last = e
		}
	}
	return last
}

// TestClockJumps: that the wall clock was set is journalled, with how far and which way,
// and nothing else is made of it.
func TestClockJumps(t *testing.T) {
	d := troubled(t)
	var off time.Duration
	clock := health.NewClockOf(func() time.Time { return time.Now().Add(off).Round(0) })
	d.lookAround(clock)
	if e := d.told(event.ClockJumped); e.Kind != "" {
		t.Errorf("told without a jump: %+v", e)
	}
	for _, jump := range []struct {
		by   time.Duration
		says string
	}{{3 * time.Hour, "forward by 3h0m0s"}, {-24 * time.Hour, "back by 24h0m0s"}} {
		off += jump.by
		d.lookAround(clock)
		e := d.told(event.ClockJumped)
		seconds, _ := e.Fields["seconds"].(float64)
		if e.Gateway != "main" || !strings.Contains(e.Message, jump.says) || (time.Duration(seconds*float64(time.Second))-jump.by).Abs() > time.Minute {
			t.Errorf("a jump by %v is told as %+v", jump.by, e)
		}
	}
	if got := d.health.Current(); len(got) > 0 && got[0].Condition != health.LowSpace {
		t.Errorf("conditions %+v", got)
	}
}

// TestLookAround: what is wrong with the folder, or with descriptors, is looked at again
// soon, and shows in journal and metrics until it has passed.
func TestLookAround(t *testing.T) {
	d := troubled(t)
	clock := health.NewClock()
	aside := d.cfg().DataDir + ".aside"
	if err := os.Rename(d.cfg().DataDir, aside); err != nil {
		t.Fatal(err)
	}
	if wait := d.lookAround(clock); wait != lookAgain || !d.health.Holds(health.DataFolder) {
		t.Errorf("without a folder: again after %v, conditions %+v", wait, d.health.Current())
	}
	if e := d.told(event.Degraded); e.Cause != string(health.DataFolder) || e.Fields["hint"] == "" {
		t.Errorf("told as %+v", e)
	}
	if err := os.Rename(aside, d.cfg().DataDir); err != nil {
		t.Fatal(err)
	}
	d.lookAround(clock)
	if d.health.Holds(health.DataFolder) {
		t.Errorf("with the folder: conditions %+v", d.health.Current())
	}
	d.health.Set(health.Start, health.Trouble, "it waits", "")
	d.spare.ReleaseAll(syscall.EMFILE)
	if wait := d.lookAround(clock); wait != lookAgain || !d.health.Holds(health.Descriptors) {
		t.Errorf("what was given up for a start was taken back before it: again after %v, %+v", wait, d.health.Current())
	}
	d.shortage(nil)
	if d.health.Holds(health.Start) || len(d.look) != 1 {
		t.Errorf("the start has succeeded: %+v, %d looks asked for", d.health.Current(), len(d.look))
	}
	d.lookAround(clock)
	if d.health.Holds(health.Descriptors) {
		t.Errorf("in the end: %+v", d.health.Current())
	}
}

// wanting is a probe that finds no descriptor so many times.
type wanting struct{ left *int }

func (p wanting) Check(context.Context, probe.Target) error {
	if *p.left > 0 {
		*p.left--
		return &probe.Failure{Verdict: probe.Unchecked, Seen: "cannot dial", Err: syscall.EMFILE}
	}
	return nil
}

// TestSparing: a probe that lacks a descriptor gets one of those in reserve, and no more
// than one: the rest are for a start.
func TestSparing(t *testing.T) {
	d := troubled(t)
	left := 1
	p := sparing{wanting{&left}, d.spare}
	if err := p.Check(t.Context(), probe.Target{}); err != nil || !d.health.Holds(health.Descriptors) {
		t.Errorf("with one in reserve: %v, conditions %+v", err, d.health.Current())
	}
	left = 2
	if err := p.Check(t.Context(), probe.Target{}); probe.VerdictOf(err) != probe.Unchecked || left != 0 {
		t.Errorf("it was asked until there were %d left: %v", left, err)
	}
	left = 1
	d.spare.ReleaseAll(syscall.EMFILE)
	if err := p.Check(t.Context(), probe.Target{}); err == nil {
		t.Error("there is nothing in reserve, and yet it was asked again")
	}
}
