package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
)

const (
	recordVersion = 1
	recordName    = "instance.json"
	recordMax     = 1 << 20 // bytes; a record takes about 500
)

// recordFile is the file that holds the record of the one instance of a
// gateway. A record is there from before the command runs until nothing of the
// instance is left.
type recordFile struct {
	path    string
	host    string // of this machine
	dataDir string // of this creel
}

// exists reports whether there is a record, whatever is in it.
func (f recordFile) exists() (bool, error) {
	_, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look for the instance record: %w", err)
	}
	return true, nil
}

// read returns the record, runtime.ErrNoInstance, or a *runtime.RecordError if
// the record cannot be trusted.
func (f recordFile) read() (runtime.Record, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return runtime.Record{}, runtime.ErrNoInstance
	}
	if err != nil {
		return runtime.Record{}, fmt.Errorf("cannot read the instance record: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, recordMax+1))
	if err != nil {
		return runtime.Record{}, fmt.Errorf("cannot read the instance record %s: %w", f.path, err)
	}
	rec, reason := parseRecord(data)
	switch {
	case reason != "":
	case rec.Host != f.host:
		reason = "it was written on another machine"
	case rec.DataDir != f.dataDir:
		reason = fmt.Sprintf("it belongs to the data folder %s, not to %s", rec.DataDir, f.dataDir)
	default:
		return rec, nil
	}
	return runtime.Record{}, &runtime.RecordError{Path: f.path, Reason: reason}
}

// parseRecord decodes a record. reason says what is wrong with it; empty: nothing.
func parseRecord(data []byte) (rec runtime.Record, reason string) {
	if len(data) > recordMax {
		return rec, fmt.Sprintf("it is larger than %d bytes", recordMax)
	}
	// The version comes first: a newer record may differ in everything else.
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return rec, fmt.Sprintf("it is damaged (%v)", err)
	}
	if v.Version > recordVersion {
		return rec, fmt.Sprintf("it was written by a newer creel (record version %d, this creel knows %d)", v.Version, recordVersion)
	}
	if v.Version != recordVersion {
		return rec, fmt.Sprintf("it has the unknown version %d", v.Version)
	}
	if err := json.Unmarshal(data, &rec); err != nil {
		return rec, fmt.Sprintf("it is damaged (%v)", err)
	}
	switch {
	case rec.PID < 2: // 0 and below address groups of processes; 1 is init, or creel
		return rec, fmt.Sprintf("%d cannot be the pid of an instance", rec.PID)
	case rec.StartTime == 0, rec.BootID == "", rec.Gateway == "", rec.Generation == 0,
		rec.Host == "", rec.DataDir == "", rec.Port < 1, rec.Port > 65535:
		return rec, "it is incomplete"
	}
	return rec, ""
}

// write makes rec durable: after a crash there is either the whole record or
// the one before.
func (f recordFile) write(rec runtime.Record) error {
	data, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the instance record: %w", err)
	}
	temp := f.path + ".tmp"
	if err := writeSynced(temp, append(data, '\n')); err != nil {
		return fmt.Errorf("cannot write the instance record: %w", err)
	}
	crashpoint.Passed(crashpoint.RecordPrepared)
	if err := os.Rename(temp, f.path); err != nil {
		return fmt.Errorf("cannot write the instance record: %w", err)
	}
	return syncDir(filepath.Dir(f.path))
}

// holds reports whether the file holds the record of this very instance. A
// file that cannot be trusted holds it not.
func (f recordFile) holds(rec runtime.Record) (bool, error) {
	got, err := f.read()
	var refused *runtime.RecordError
	if errors.Is(err, runtime.ErrNoInstance) || errors.As(err, &refused) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return got.Generation == rec.Generation && got.PID == rec.PID &&
		got.StartTime == rec.StartTime && got.BootID == rec.BootID, nil
}

// remove removes the record of this very instance. The record of another is
// left alone: the late end of generation g must not harm g+1 (invariant I3).
func (f recordFile) remove(rec runtime.Record) error {
	ours, err := f.holds(rec)
	if err != nil || !ours {
		return err
	}
	if err := os.Remove(f.path); err != nil {
		return fmt.Errorf("cannot remove the instance record: %w", err)
	}
	return syncDir(filepath.Dir(f.path))
}

// setAside renames the file so that it is no longer taken for a record, and
// returns its new path.
func (f recordFile) setAside(now time.Time) (string, error) {
	base := strings.TrimSuffix(f.path, ".json") + ".refused-" + now.UTC().Format("20060102T150405")
	for n := 0; ; n++ {
		path := fmt.Sprintf("%s-%d.json", base, n)
		// Link, not rename: it fails where the name is taken already.
		err := os.Link(f.path, path)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("cannot set the instance record aside: %w", err)
		}
		crashpoint.Passed(crashpoint.RecordLinked)
		if err := os.Remove(f.path); err != nil {
			return "", fmt.Errorf("cannot set the instance record aside: %w", err)
		}
		crashpoint.Passed(crashpoint.RecordSetAside)
		return path, syncDir(filepath.Dir(f.path))
	}
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir makes a change of names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot make a change in %s durable: %w", dir, err)
	}
	err = errors.Join(d.Sync(), d.Close())
	if err != nil {
		return fmt.Errorf("cannot make a change in %s durable: %w", dir, err)
	}
	return nil
}
