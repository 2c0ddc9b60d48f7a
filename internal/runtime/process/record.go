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
	recordMax     = 1 << 20 // bytes; a record takes about 500
)

// RecordName is the name of the record in a gateway's folder.
const RecordName = "instance.json"

// recordFile is the file that holds the record of the one instance of a
// gateway. A record is there from before the command runs until nothing of the
// instance is left.
//
// What it is to outlive is creel, not the machine: nothing of an instance outlives
// a reboot. So its name need not be on disk when the command runs (each wait for a
// disk would be a wait for the gateway after every crash). A record that a power
// failure brings back is of another boot and says nothing; one that it takes away
// was of no use any more. What must not come about is a record that is there in
// part, so its contents are on disk before its name is.
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
// the record cannot be trusted. With the latter, the record comes along if its
// folder is all that is wrong with it.
func (f recordFile) read() (runtime.Record, error) {
	data, err := f.data()
	if err != nil {
		return runtime.Record{}, err
	}
	rec, reason := parseRecord(data)
	switch {
	case reason != "":
		rec = runtime.Record{}
	case rec.Host != f.host:
		rec, reason = runtime.Record{}, "it was written on another machine"
	case rec.DataDir != f.dataDir:
		reason = fmt.Sprintf("it belongs to the data folder %s, not to %s", rec.DataDir, f.dataDir)
	default:
		return rec, nil
	}
	return rec, &runtime.RecordError{Path: f.path, Reason: reason}
}

// data reads the file. That it cannot be read says nothing of an instance, so it
// is no *runtime.RecordError: the file stays where it is, and nothing is started.
func (f recordFile) data() ([]byte, error) {
	unreadable := func(err error) error {
		return fmt.Errorf("cannot read the instance record, so it is not known whether an instance runs: %w (let creel read %s, or move it away if nothing runs)", err, f.path)
	}
	info, err := os.Lstat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, runtime.ErrNoInstance
	case err != nil:
		return nil, unreadable(err)
	case !info.Mode().IsRegular(): // to open a pipe would mean to wait for ever
		return nil, &runtime.RecordError{Path: f.path, Reason: "it is no file (" + info.Mode().Type().String() + ")"}
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, unreadable(err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, recordMax+1))
	if err != nil {
		return nil, unreadable(err)
	}
	return data, nil
}

// parseRecord decodes a record. reason says what is wrong with it; empty: nothing.
func parseRecord(data []byte) (rec runtime.Record, reason string) {
	if len(data) == 0 {
		return rec, "it is damaged (it is empty)"
	}
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

// write makes rec the record: whatever happens, there is either the whole record
// or the one before.
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
	return nil
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
	return nil
}

// setAside renames the file so that it is no longer taken for a record, and
// returns its new path.
func (f recordFile) setAside(now time.Time) (string, error) {
	base := strings.TrimSuffix(f.path, ".json") + ".refused-" + now.UTC().Format("20060102T150405")
	for n := 0; ; n++ {
		path := fmt.Sprintf("%s-%d.json", base, n)
		// There is no race for the name: one creel has the folder.
		switch _, err := os.Lstat(path); {
		case err == nil:
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("cannot set the instance record aside: %w", err)
		}
		if err := os.Rename(f.path, path); err != nil {
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
