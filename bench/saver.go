package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// saver is a program that saves a state folder to a store in another folder.
type saver struct {
	label   string
	store   string
	command []string // saves once
	environ []string
	output  []byte // of the last time
}

// saverPeers are the programs that creel's snapshots are compared with. They know
// nothing of the gateway, and copy files while it writes to them.
var saverPeers = []peer{
	{label: "rclone sync", program: "rclone", about: []string{"version"}},
	{label: "restic backup", program: "restic", about: []string{"version"}},
}

// foundSavers are those of saverPeers that are there. Where peers were asked for
// all of them have to be.
func (b *bench) foundSavers() ([]peer, error) {
	var found []peer
	for _, p := range saverPeers {
		_, err := p.find(b.peersDir)
		switch {
		case err == nil:
			found = append(found, p)
		case b.peersDir != "":
			return nil, err
		}
	}
	return found, nil
}

// saverOf makes the saver of a peer. dir is the saver's own.
func (b *bench) saverOf(ctx context.Context, p peer, state, dir string) (*saver, error) {
	program, err := p.find(b.peersDir)
	if err != nil {
		return nil, err
	}
	s := &saver{label: p.label, store: filepath.Join(dir, "store"), environ: append(p.environ(b, dir), "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR="+filepath.Join(dir, "cache"))}
	if err := os.MkdirAll(s.store, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a store for %s: %w", p.label, err)
	}
	if p.program == "rclone" {
		s.command = []string{program, "sync", "--config", filepath.Join(dir, "rclone.conf"), state, s.store}
		return s, nil
	}
	prepare := *s
	prepare.command = []string{program, "-r", s.store, "init"}
	if _, err := prepare.save(ctx); err != nil {
		return nil, err
	}
	s.command = []string{program, "-r", s.store, "backup", "-q", state}
	return s, nil
}

// savePatience bounds one save: the first one of a state on a busy machine takes a
// few seconds.
const savePatience = 2 * time.Minute

// save saves the state, and says how long that took, from the start of the
// command to its end.
func (s *saver) save(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, savePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Env = s.environ
	began := time.Now()
	out, err := cmd.Output()
	took := time.Since(began)
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = append(out, exit.Stderr...)
		}
		return 0, fmt.Errorf("cannot save a state with %s: %w\n%s", s.label, err, out)
	}
	s.output = out
	return took, nil
}

// blobs are the files of a store, by name.
type blobs map[string]blob

type blob struct {
	size    int64
	changed time.Time
}

// blobsIn lists the files of a store.
func blobsIn(dir string) (blobs, error) {
	found := blobs{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found[path] = blob{info.Size(), info.ModTime()}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot see what is in a store: %w", err)
	}
	return found, nil
}

// size is that of all of them.
func (b blobs) size() float64 {
	sum := int64(0)
	for _, f := range b {
		sum += f.size
	}
	return float64(sum)
}

// writtenSince is the size of those that are new or were written anew.
func (b blobs) writtenSince(before blobs) float64 {
	sum := int64(0)
	for name, f := range b {
		if before[name] != f {
			sum += f.size
		}
	}
	return float64(sum)
}
