package gateway

import (
	"errors"
	"fmt"
	"os"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/durable"
)

// intent is what must outlive creel though no instance runs: the last
// generation that was begun, so that numbers never repeat, whether a person
// asked for the gateway to stay stopped, and which instance somebody has asked to be
// replaced by another: one that is found, since creel ended before it did, still is to
// be.
type intent struct {
	Version    int    `json:"version"`
	Generation uint64 `json:"generation"`
	Stopped    bool   `json:"stopped"`
	Replace    uint64 `json:"replace,omitempty"` // a generation; 0: none
}

const intentVersion = 1

// intentFile keeps an intent. Its methods may be called from any goroutine.
type intentFile struct{ file *durable.Record[intent] }

// openIntent reads the intent; path empty: it is kept in memory alone. One that
// cannot be read or understood counts as none and comes with an error. It is not
// overwritten but renamed, so that a person (or the newer creel that wrote it) still
// has it.
func openIntent(path string) (*intentFile, error) {
	r, err := durable.Open[intent](path, intentVersion)
	f := &intentFile{r}
	if err == nil {
		return f, nil
	}
	err = fmt.Errorf("cannot tell what was asked of the gateway before: %s: %w", path, err)
	aside := path + "." + time.Now().UTC().Format("20060102T150405.000000000Z") + ".refused"
	if e := os.Rename(path, aside); e != nil {
		return f, errors.Join(err, fmt.Errorf("cannot put that file aside: %w", e))
	}
	return f, fmt.Errorf("%w; the file was put aside as %s", err, aside)
}

// get gives the present intent.
func (f *intentFile) get() intent { return f.file.Get() }

// change changes the intent, on disk first, as durably as d says. What a person has asked
// for outlives a power cut once he was told so. A number need not: requests wait for its
// launch, and no instance of a lost number outlives the cut itself, so that giving it once
// more confuses nobody.
func (f *intentFile) change(d durable.Durability, change func(*intent)) error {
	changed, err := f.file.Change(func(next *intent) durable.Durability {
		change(next)
		next.Version = intentVersion
		return d
	})
	if err != nil {
		return fmt.Errorf("cannot record what is asked of the gateway: %w", err)
	}
	if changed {
		crashpoint.Passed(crashpoint.IntentWritten)
	}
	return nil
}
