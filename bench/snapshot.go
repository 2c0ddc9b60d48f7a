package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// What a snapshot may take: a gateway is held still for so many milliseconds at
// the 99th percentile; so many milliseconds after one small change; so many bytes
// in the store for each that changed.
var (
	freezeBar = &bar{Limit: 25, Of: barValue}
	secondBar = &bar{Limit: 500, Of: barValue}
	storedBar = &bar{Limit: 2, Of: barValue}
)

const (
	// newFile is the size of the file that is the one small change.
	newFile = 16 << 10
	// newRows are the rows that are the other one.
	newRows = 10
)

// measureSnapshots saves a state with creel, and with the savers that are there.
// They take turns on the same folder, whose gateway writes nothing meanwhile: what
// has changed is then known. How long a gateway is held still is measured on
// another one, which writes all the time.
func measureSnapshots(ctx context.Context, b *bench) (*comparison, error) {
	c := &comparison{}
	peers, err := b.foundSavers()
	if err != nil {
		return nil, err
	}
	c.Names = []string{"creel"}
	for _, p := range peers {
		v, err := p.version(ctx, b)
		if err != nil {
			return nil, err
		}
		c.Names, c.Versions = append(c.Names, p.label), append(c.Versions, v)
	}
	var s savings
	for round := range b.plan.Rests {
		if err := b.saveInTurns(ctx, peers, uint64(round), &s); err != nil {
			return nil, err
		}
	}
	frozen, err := b.freezes(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(frozen)
	return c, errors.Join(
		c.row("first snapshot of 1,600 files with 57 MB", "ms", s.first...),
		c.row("in the store then", "MB", s.size...),
		c.barred("after a new file of 16 KiB", "ms", secondBar, s.file...),
		c.barred("the same, written to the store for each byte that is new", "bytes", storedBar, s.perByte...),
		c.barred("after 10 new rows of 1 KiB in a database of 3 MB", "ms", secondBar, s.rows...),
		c.row("the same, written to the store", "KiB", s.rowBytes...),
		c.ownRow(fmt.Sprintf("a gateway that writes all the time is held still, p50 of %d", len(frozen)), "ms", nil, percentile(frozen, 50)),
		c.ownRow("the same, p99", "ms", freezeBar, percentile(frozen, 99)),
	)
}

// savings are what each saver has done, creel first, round by round.
type savings struct{ first, size, file, perByte, rows, rowBytes [][]float64 }

// add takes in one saver's round.
func (s *savings) add(who int, values ...float64) {
	for i, list := range []*[][]float64{&s.first, &s.size, &s.file, &s.perByte, &s.rows, &s.rowBytes} {
		for len(*list) <= who {
			*list = append(*list, nil)
		}
		(*list)[who] = append((*list)[who], values[i])
	}
}

// saveInTurns is a round: a new state, and new stores.
func (b *bench) saveInTurns(ctx context.Context, peers []peer, seed uint64, to *savings) (err error) {
	dir, err := os.MkdirTemp(b.dir, "state-")
	if err != nil {
		return fmt.Errorf("cannot make a folder for a state: %w", err)
	}
	state := filepath.Join(dir, "state")
	if err := makeState(ctx, state, b.plan.Assets, seed); err != nil {
		return err
	}
	up, own, err := b.standWithState(ctx, state, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	savers := []*saver{own}
	for _, p := range peers {
		s, err := b.saverOf(ctx, p, state, filepath.Join(dir, p.program))
		if err != nil {
			return err
		}
		savers = append(savers, s)
	}
	all := make([][]float64, len(savers))
	turn := func(note func(took time.Duration, before, after blobs) []float64) error {
		for i := range savers {
			k := (i + int(seed)) % len(savers) // who begins changes
			before, err := blobsIn(savers[k].store)
			if err != nil {
				return err
			}
			took, err := savers[k].save(ctx)
			if err != nil {
				return err
			}
			after, err := blobsIn(savers[k].store)
			if err != nil {
				return err
			}
			all[k] = append(all[k], note(took, before, after)...)
		}
		return nil
	}
	from := rand.New(rand.NewPCG(seed, 3))
	if err := turn(func(took time.Duration, _, after blobs) []float64 { return []float64{millis(took), after.size() / 1e6} }); err != nil {
		return err
	}
	if err := writeState(state, "workspace/new.bin", noise(from, newFile)); err != nil {
		return err
	}
	if err := turn(func(took time.Duration, before, after blobs) []float64 {
		return []float64{millis(took), after.writtenSince(before) / newFile}
	}); err != nil {
		return err
	}
	db, err := openState(ctx, state)
	if err != nil {
		return err
	}
	if err := errors.Join(addRows(ctx, db, from, newRows), db.Close()); err != nil {
		return err
	}
	if err := turn(func(took time.Duration, before, after blobs) []float64 {
		return []float64{millis(took), after.writtenSince(before) / 1024}
	}); err != nil {
		return err
	}
	for i, values := range all {
		to.add(i, values...)
	}
	return nil
}

// standWithState starts a creel whose gateway has this state, and gives what saves
// it. busy: the gateway writes to it all the time.
func (b *bench) standWithState(ctx context.Context, state string, busy bool) ([]*standing, *saver, error) {
	k := creel{binary: b.creel.(creel).binary, state: state}
	g := gatewayOptions{}
	if busy {
		g.state = state
	}
	up, err := b.stand(ctx, g, k)
	if err != nil {
		return nil, nil, err
	}
	data := filepath.Join(up[0].dir, "data")
	return up, &saver{
		label: "creel", store: filepath.Join(data, "snapshots"), environ: withoutSettings(os.Environ()),
		command: []string{k.binary, "snapshot", "create", "--json", "--data-dir", data},
	}, nil
}

// freezes takes snapshots of a gateway that writes all the time, and gives for how
// many milliseconds it was held still for each.
func (b *bench) freezes(ctx context.Context) (frozen []float64, err error) {
	state, err := os.MkdirTemp(b.dir, "busy-state-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for a state: %w", err)
	}
	if err := makeState(ctx, state, b.plan.Assets, 99); err != nil {
		return nil, err
	}
	up, own, err := b.standWithState(ctx, state, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	for range b.plan.Freezes {
		if _, err := own.save(ctx); err != nil {
			return nil, err
		}
		var s struct {
			Frozen time.Duration `json:"frozen_ns"`
		}
		if err := json.Unmarshal(own.output, &s); err != nil {
			return nil, fmt.Errorf("cannot read what creel says of a snapshot: %w", err)
		}
		if s.Frozen <= 0 {
			return nil, errors.New("cannot believe that a gateway which writes was not held still")
		}
		frozen = append(frozen, millis(s.Frozen))
	}
	return frozen, nil
}
