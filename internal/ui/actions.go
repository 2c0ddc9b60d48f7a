package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"creel/internal/auth"
	"creel/internal/openclaw"
	"creel/internal/snapshot/store"
)

// actions lists all that can be done.
func (u *UI) actions() []action {
	const p = Prefix
	ask := func(pattern, text string, do func(Supervisor, context.Context) error) action {
		return action{pattern: pattern, needs: auth.Operate, back: p, do: func(u *UI, r *http.Request) (string, flash, error) {
			if err := do(u.opts.Supervisor, r.Context()); err != nil {
				return "", flash{}, err
			}
			return "", flash{Tone: toneOK, Text: text}, nil
		}}
	}
	needing := func(s auth.Scope, a action) action { a.needs = s; return a }
	list := []action{
		ask(pathStart, "The gateway is being started.", Supervisor.Start),
		ask(pathRestart, "The gateway is being restarted. Requests wait for it.", Supervisor.Restart),
		ask(pathStop, "The gateway is being stopped.", Supervisor.Stop),
		{pattern: pathSnapshot, needs: auth.Operate, back: p + "snapshots", do: createSnapshot},
		{pattern: p + "snapshots/{id}/verify", needs: auth.Operate, back: p + "snapshots", do: verifySnapshot},
		{pattern: p + "snapshots/{id}/restore", needs: auth.Admin, back: p + "snapshots", do: restoreSnapshot},
		{pattern: p + "devices/approve-all", needs: auth.Operate, back: p + "devices", do: approveAll},
		{pattern: p + "settings/sessions/revoke", needs: auth.Admin, back: p + "settings", do: revokeSession},
		{pattern: p + "settings/tokens/create", needs: auth.Admin, back: p + "settings", do: createToken},
		{pattern: p + "settings/tokens/revoke", needs: auth.Admin, back: p + "settings", do: revokeToken},
		{pattern: p + "settings/link", needs: auth.Admin, back: p + "settings", do: loginLink},
		needing(auth.Operate, onSnapshot("pin", "It is kept until it is unpinned.", func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) {
			return s.Pin(ctx, id, true)
		})),
		needing(auth.Operate, onSnapshot("unpin", "It may be removed when its time is over.", func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) {
			return s.Pin(ctx, id, false)
		})),
		needing(auth.Admin, onSnapshot("accept", "It counts as a good snapshot now.", func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) { return s.Accept(ctx, id) })),
		needing(auth.Admin, onSnapshot("remove", "The snapshot was removed.", func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) { return s.Remove(ctx, id) })),
	}
	return slices.Concat(list, u.deviceActions(), signInActions())
}

func (u *UI) deviceActions() []action {
	list := []action{
		onDevice("approve", "was approved.", func(ctx context.Context, d Devices, id string, _ url.Values) (openclaw.Device, error) {
			return d.Approve(ctx, id)
		}),
		onDevice("reject", "was rejected.", func(ctx context.Context, d Devices, id string, _ url.Values) (openclaw.Device, error) {
			return d.Reject(ctx, id)
		}),
		onDevice("revoke", "was revoked.", func(ctx context.Context, d Devices, id string, _ url.Values) (openclaw.Device, error) {
			return d.Revoke(ctx, id)
		}),
		onDevice("rename", "has its new name.", func(ctx context.Context, d Devices, id string, form url.Values) (openclaw.Device, error) {
			return d.Rename(ctx, id, form.Get("label"))
		}),
	}
	for i := range list {
		list[i].needs = auth.Operate
	}
	return list
}
