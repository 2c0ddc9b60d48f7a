package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"creel/internal/auth"
	"creel/internal/openclaw/rpc"
)

// browserOf names the browser that makes a handshake, if it is one that shows its
// pages for one device of OpenClaw's, and no other: by its session with creel and by
// the origin of the page, to which a browser binds the key that the device is. "": it
// is not known so well. An app on a phone sends no origin; of people who sign in
// elsewhere (Access, a reverse proxy) creel does not tell the browsers apart.
func browserOf(r *http.Request) string {
	who, origin := auth.From(r.Context()), r.Header.Get("Origin")
	if who.Kind != auth.KindSession || who.Session == "" || origin == "" {
		return ""
	}
	return who.Session + " " + strings.ToLower(origin)
}

// awaitApproval lets a handshake wait while its device waits to be let in (see
// openclaw.WaitingRoom). It tells whether it has waited.
func (d *daemon) awaitApproval(r *http.Request) bool {
	app, ok := d.app.(*openClaw)
	if !ok || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return false
	}
	browser := browserOf(r)
	return browser != "" && app.room.Wait(r.Context(), browser)
}

// pauseForApproval is the second part of such a wait: the handshake is over, and what
// the page says then, its login, waits. nil: there is nothing to wait for.
func (d *daemon) pauseForApproval(r *http.Request) func(over <-chan struct{}) {
	app, ok := d.app.(*openClaw)
	browser := browserOf(r)
	if !ok || browser == "" || !app.room.Waits(browser) {
		return nil
	}
	return func(over <-chan struct{}) { app.room.WaitOn(over, browser) }
}

// approvals is how many events may wait to be looked at.
const approvals = 64

// keepRoom keeps the waiting room open while approvals are heard of, until ctx ends.
func (o *openClaw) keepRoom(ctx context.Context, client *rpc.Client) {
	var listening sync.WaitGroup
	defer listening.Wait()
	events := client.Events(ctx, approvals)
	listening.Go(func() { // ends with ctx or the client
		for e := range events {
			o.heard(e)
		}
	})
	for {
		if _, err := client.WaitFor(ctx, func(v rpc.View) bool { return v.Connected }); err != nil {
			return
		}
		o.room.Open()
		_, err := client.WaitFor(ctx, func(v rpc.View) bool { return !v.Connected })
		o.room.Shut() // nobody would hear that they are let in
		if err != nil {
			return
		}
	}
}

// heard takes note of what OpenClaw tells.
func (o *openClaw) heard(e rpc.Event) {
	if e.Missed > 0 { // an approval, perhaps
		o.room.Release()
	}
	if e.Name != "device.pair.resolved" {
		return
	}
	var p struct {
		RequestID string `json:"requestId"`
		Decision  string `json:"decision"` // "approved"; "rejected" also of a request that another one has replaced
	}
	if json.Unmarshal(e.Payload, &p) == nil && p.Decision == "approved" {
		o.room.Approved(p.RequestID)
	}
}
