package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
)

// Ledger keeps small values that several machines change, each by conditional
// writes alone: of those that have read one version and change it at once, one
// succeeds. Who owns a gateway is written there (package owner).
//
// A write whose answer is lost may have succeeded, or may yet succeed for as long
// as nobody else has changed the value: whoever writes has to be able to tell its
// own values from those of others.
//
// Its methods may be called from any goroutine. They end early, with the cause,
// when ctx ends. Names are single path elements. Errors that callers branch on:
// ErrChanged, *AccessError, *UnfitError. All others are taken for passing.
type Ledger interface {
	// Read gives a value and its version; "": there is none. A version is never
	// that of another value, nor of the same value after it was another one in
	// between, if no two values that are written are equal.
	Read(ctx context.Context, name string) (value []byte, version string, err error)

	// Write changes a value if its version is still ifVersion ("": if there is
	// none), and gives the new version. It returns ErrChanged if it is not.
	Write(ctx context.Context, name string, value []byte, ifVersion string) (version string, err error)

	// Remove removes a value, if there is one, under no condition.
	Remove(ctx context.Context, name string) error

	// Close lets go of connections.
	Close() error
}

// ErrChanged says that a value is not of the version any more that a conditional
// write was to change.
var ErrChanged = errors.New("it was changed meanwhile")

// UnfitError says that a place does not keep what a Ledger promises.
type UnfitError struct {
	Store string
	Why   string
}

func (e *UnfitError) Error() string {
	return fmt.Sprintf("the store %s cannot be used to settle which machine owns a gateway: %s", e.Store, e.Why)
}

// ownerFolder holds a ledger's values, at the place of a repository. It is no
// part of the repository.
const ownerFolder = "creel-owner"

// OpenLedger opens the ledger at a place, and makes sure by a few writes of a
// value of its own that the place honours conditions: one that ignores them (a
// gateway to S3 that does not know them, a file system without hard links) would
// let every machine win. It returns *UnfitError for such a place and for a kind of
// store that has no ledger. It touches no repository and needs no key.
func OpenLedger(ctx context.Context, o Options) (Ledger, error) {
	var l Ledger
	var err error
	switch {
	case o.S3 != nil:
		l, err = openS3Ledger(&o)
	case o.Folder != "":
		l, err = openFolderLedger(o.Folder)
	default:
		return nil, &UnfitError{o.name(), "a store of this kind knows no conditional writes; choose a folder or s3, or set snapshots.owner to off"}
	}
	if err == nil {
		if err = tryLedger(ctx, l, o.name()); err != nil {
			err = errors.Join(err, l.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// tryLedger finds out whether a place honours conditions.
func tryLedger(ctx context.Context, l Ledger, where string) (err error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails (Go 1.24)
	name := "trial-" + hex.EncodeToString(b[:])
	unfit := func(what string) error {
		return &UnfitError{where, what + "; use another store, or set snapshots.owner to off and see to it yourself that only one machine runs the gateway"}
	}
	defer func() {
		// A place that has refused says the same once more.
		if e := l.Remove(ctx, name); err == nil {
			err = e
		}
	}()
	first, err := l.Write(ctx, name, []byte("first"), "")
	if err != nil {
		return err
	}
	if _, err := l.Write(ctx, name, []byte("second"), ""); !errors.Is(err, ErrChanged) {
		return errors.Join(unfit("it has overwritten a value that was to be written only if there was none"), err)
	}
	second, err := l.Write(ctx, name, []byte("third"), first)
	switch {
	case errors.Is(err, ErrChanged):
		return unfit("it refuses to change a value whose version it has named itself")
	case err != nil:
		return err
	case second == first:
		return unfit("it gives two values the same version")
	}
	if _, err := l.Write(ctx, name, []byte("fourth"), first); !errors.Is(err, ErrChanged) {
		return errors.Join(unfit("it has overwritten a value that had changed"), err)
	}
	value, version, err := l.Read(ctx, name)
	switch {
	case err != nil:
		return err
	case string(value) != "third", version != second:
		return unfit(fmt.Sprintf("it gives back %q, version %s, where %q, version %s, was written", value, version, "third", second))
	}
	return nil
}
