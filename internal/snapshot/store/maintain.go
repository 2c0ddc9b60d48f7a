package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/content/index"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"
)

// Maintain does what kopia's schedule says is due: a little every hour, all of it
// once a day. A content goes when no snapshot has referred to it for a day, in
// two rounds some hours apart (kopia's SafetyFull), so that what a Save that is
// under way on another machine has already written stays.
//
// One machine maintains a repository. If that one has missed two days, the one
// that asks takes over.
func (s *kopiaStore) Maintain(ctx context.Context) error {
	ctx, leave, err := s.enterWriting(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return fail(ctx, "maintain "+s.opts.name(), s.maintain(ctx))
}

func (s *kopiaStore) maintain(ctx context.Context) error {
	if f, ok := s.guard.Storage.(*folderStorage); ok {
		if err := f.sweep(ctx, s.now().Add(-24*time.Hour)); err != nil {
			return err
		}
	}
	if err := s.refresh(ctx); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.claimMaintenance(ctx); err != nil {
		return err
	}
	if err := s.giveUp(ctx); err != nil { // before it is done: afterwards it looks like a loss
		return err
	}
	err := s.write(ctx, "maintain", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		return snapshotmaintenance.Run(ctx, w, maintenance.ModeAuto, false, s.safety())
	})
	if _, other := errors.AsType[maintenance.NotOwnedError](err); other {
		return nil // another machine does it
	}
	if err != nil {
		return err
	}
	return s.giveUp(ctx)
}

// readManifests reads all lists of snapshots. A snapshot in a list that cannot be
// read would be taken for removed, and all that only it needs with it.
func (s *kopiaStore) readManifests(ctx context.Context) error {
	return s.repo.ContentReader().IterateContents(ctx, content.IterateOptions{
		Range: index.PrefixRange(manifest.ContentPrefix),
	}, func(c content.Info) error {
		_, err := s.repo.ContentReader().GetContent(past(ctx), c.ContentID)
		if err != nil {
			return s.damage(ctx, "", "", fmt.Errorf("a list of snapshots cannot be read, so that it cannot be told which are missing, and nothing is given up: %w; bring it back from a copy of the store, or, if there is none, give the list up with a stock kopia (`kopia content delete %s --advanced-commands=enabled`)", err, c.ContentID))
		}
		return nil
	})
}

// claimMaintenance makes this machine the one that maintains if there is none,
// or none that does it.
func (s *kopiaStore) claimMaintenance(ctx context.Context) error {
	me := s.repo.ClientOptions().UsernameAtHost()
	p, err := maintenance.GetParams(ctx, s.repo)
	if err != nil || p.Owner == me {
		return err
	}
	if p.Owner != "" {
		schedule, err := maintenance.GetSchedule(ctx, s.repo)
		if err != nil {
			return err
		}
		if s.now().Before(schedule.NextFullMaintenanceTime.Add(2 * p.FullCycle.Interval)) {
			return nil
		}
	}
	p.Owner = me
	return s.write(ctx, "claim maintenance", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		return maintenance.SetParams(ctx, w, p)
	})
}
