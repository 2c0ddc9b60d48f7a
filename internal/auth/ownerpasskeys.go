package auth

import (
	"context"
	"errors"
	"time"

	"creel/internal/durable"
	"creel/internal/event"
)

// PasskeyPath is the page on which owners register passkeys, where there are any.
const PasskeyPath = passkeyPath

// Passkey is a passkey that an owner has registered, as others may see it.
type Passkey struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used,omitzero"` // without it: never
}

// PasskeyHost is the host that passkeys are bound to; "": there are none at this creel.
func (g *Gate) PasskeyHost() string {
	if g.opts.Open {
		return ""
	}
	return g.opts.Config.Passkeys.Host
}

// Passkeys lists those that owners have registered, the oldest first.
func (g *Gate) Passkeys() []Passkey {
	list := []Passkey{}
	for _, k := range g.state.look().Passkeys {
		list = append(list, Passkey{k.ID, k.Name, k.Created, k.LastUsed})
	}
	return list
}

// RemovePasskey forgets a passkey: it signs nobody in any more. The error wraps
// ErrUnknown if there is none with that id.
func (g *Gate) RemovePasskey(ctx context.Context, id string) error {
	var removed passkeyRecord
	err := g.state.change(true, durable.Synced, func(r *record) (err error) {
		removed, err = takeOut(&r.Passkeys, "passkey", id, func(k passkeyRecord) string { return k.ID })
		return err
	})
	if errors.Is(err, ErrUnknown) {
		return err
	}
	g.record(event.PasskeyRemoved, "a passkey was removed: "+removed.Name, map[string]any{"passkey": removed.ID, "by": From(ctx).Name})
	return lasting(err)
}
