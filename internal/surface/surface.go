// Package surface is what creel's two surfaces, the API (package api) and the pages
// (package ui), ask of the parts behind them: they show and do the same things, so that
// what they ask is written down once. What only one of them asks for, it adds itself.
//
// There are interfaces here and nothing else: neither surface decides anything.
package surface

import (
	"context"
	"iter"
	"time"

	"creel/internal/auth"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
	"creel/internal/telemetry"
)

// Gateway is a gateway's supervisor.
type Gateway interface {
	Status() gateway.Status
	Held() int
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Restart(ctx context.Context) error
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
}

// Journal is what has happened.
type Journal interface {
	// Recent gives the last n events, oldest first.
	Recent(n int) []event.Event
	// Subscribe gives the events after a sequence number, and then those to
	// come, until ctx ends.
	Subscribe(ctx context.Context, after uint64) iter.Seq[event.Event]
}

// Devices are the devices that may use the gateway, or ask to.
type Devices interface {
	List(ctx context.Context) ([]openclaw.Device, error)
	Approve(ctx context.Context, id string) (openclaw.Device, error)
	ApproveAll(ctx context.Context) ([]openclaw.Device, error)
	Reject(ctx context.Context, id string) (openclaw.Device, error)
	Revoke(ctx context.Context, id string) (openclaw.Device, error)
	Rename(ctx context.Context, id, label string) (openclaw.Device, error)
}

// Snapshots are the snapshots of the gateway's state.
type Snapshots interface {
	Status() snapshot.Status
	Create(ctx context.Context, r snapshot.Request) (store.Snapshot, error)
	List(ctx context.Context) ([]store.Snapshot, error)
	Find(ctx context.Context, id store.ID) (store.Snapshot, error)
	Files(ctx context.Context, id store.ID) (store.Files, error)
	Verify(ctx context.Context, id store.ID) (store.Snapshot, error)
	Pin(ctx context.Context, id store.ID, pinned bool) (store.Snapshot, error)
	Accept(ctx context.Context, id store.ID) (store.Snapshot, error)
	Remove(ctx context.Context, id store.ID) (store.Snapshot, error)
	Restore(ctx context.Context, r snapshot.RestoreRequest) (snapshot.Restored, error)
}

// Identity is who may come in, as package auth's gate keeps it.
type Identity interface {
	Sessions() []auth.Session
	RevokeSession(id string) error
	Tokens() []auth.Token
	// CreateToken makes a token; the secret is given out here and nowhere else. A
	// zero expires: it is good until it is revoked.
	CreateToken(name string, scopes []auth.Scope, expires time.Time) (telemetry.Secret, auth.Token, error)
	RevokeToken(id string) error
	// LoginLink makes a path that signs in whoever opens it first, until expires.
	LoginLink(ctx context.Context) (path string, expires time.Time, err error)
	Password() auth.Password
	// SetPassword ends the sessions that the old one has begun, but for that of ctx;
	// RemovePassword likewise.
	SetPassword(ctx context.Context, text string) error
	RemovePassword(ctx context.Context) error
	PasskeyHost() string // that passkeys are bound to; "": there are none
	Passkeys() []auth.Passkey
	RemovePasskey(ctx context.Context, id string) error
}

// Finding is what a look at the machine has found out about one thing.
type Finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"` // ok, warning, problem
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}
