package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"creel/internal/durable"
	"creel/internal/event"
)

// ErrFromFile says that the password is auth.password.file's, and is changed there.
var ErrFromFile = errors.New("the password is that of auth.password.file: change it there, with what `creel auth hash-password` prints")

// methodPassword is the method of sessions that a password has begun.
const methodPassword = "password"

// Password is what may be told of the owner's password.
type Password struct {
	Set   bool      `json:"set"`
	File  bool      `json:"file"`           // it is in auth.password.file, and is changed there alone
	Since time.Time `json:"since,omitzero"` // since when creel keeps it; without it, it does not
}

// passwordRecord is the password that an owner has set, as it is kept.
type passwordRecord struct {
	Hash string    `json:"hash"` // argon2id
	Set  time.Time `json:"set"`
}

// Password tells whether there is one.
func (g *Gate) Password() Password {
	if g.password == nil {
		return Password{}
	}
	if g.password.file != nil {
		return Password{Set: true, File: true}
	}
	if kept := g.state.look().Password; kept != nil {
		return Password{Set: true, Since: kept.Set}
	}
	return Password{}
}

// keptPassword is the hash of the password that an owner has set; nil: there is none.
func (g *Gate) keptPassword() *hash {
	kept := g.state.look().Password
	if kept == nil {
		return nil
	}
	h, err := parseHash(kept.Hash)
	if err != nil {
		g.log.Error("the password that is kept cannot be used; set it anew", "error", err)
		return nil
	}
	return &h
}

// SetPassword sets the owner's password, or another one: sessions that were begun with
// the old one end, but for the one that ctx is of. Errors that callers tell apart wrap
// ErrInvalid or ErrFromFile.
func (g *Gate) SetPassword(ctx context.Context, text string) error {
	done, err := g.passwordWork(ctx)
	if err != nil {
		return err
	}
	line, err := HashPassword(text)
	done()
	if err != nil {
		return err
	}
	if err := g.changePassword(ctx, &passwordRecord{Hash: line, Set: now()}); err != nil {
		return fmt.Errorf("the password is as it was before: %w", err)
	}
	g.record(event.PasswordSet, "a password was set", map[string]any{"by": From(ctx).Name})
	return nil
}

// RemovePassword has creel forget the password that an owner has set; sessions end as
// with SetPassword. Its error wraps ErrUnknown if there is none, or ErrFromFile.
func (g *Gate) RemovePassword(ctx context.Context) error {
	done, err := g.passwordWork(ctx)
	if err != nil {
		return err
	}
	done()
	err = g.changePassword(ctx, nil)
	if errors.Is(err, ErrUnknown) {
		return err
	}
	if err != nil {
		return fmt.Errorf("the password is as it was before: %w", err)
	}
	g.record(event.PasswordRemoved, "the password was removed", map[string]any{"by": From(ctx).Name})
	return nil
}

// passwordWork waits for leave to change the password.
func (g *Gate) passwordWork(ctx context.Context) (done func(), err error) {
	switch {
	case g.password == nil:
		return nil, invalid("nobody is asked to sign in at this creel, so that there is no password")
	case g.password.file != nil:
		return nil, ErrFromFile
	}
	return g.password.work(ctx)
}

func (g *Gate) changePassword(ctx context.Context, to *passwordRecord) error {
	err := g.state.change(false, durable.Synced, func(r *record) error {
		if to == nil && r.Password == nil {
			return fmt.Errorf("%w: no password is set", ErrUnknown)
		}
		r.Password = to
		r.Sessions = slices.DeleteFunc(r.Sessions, func(s *sessionRecord) bool {
			return s.Method == methodPassword && s.ID != From(ctx).Session
		})
		return nil
	})
	g.endStreams()
	return err
}
