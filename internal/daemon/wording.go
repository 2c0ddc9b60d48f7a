package daemon

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/openclaw"
	"creel/internal/proxy"
	"creel/internal/ui"
)

// letInTime bounds the letting in of a device.
const letInTime = 10 * time.Second

// wording is the proxy's hook for what clients of WebSockets hear when OpenClaw
// refuses them: where to go. By the same words creel learns which device waits, and
// lets it in if it is that of a person who could do so and is signed in, where that
// is wanted.
func (d *daemon) wording(r *http.Request) proxy.Wording {
	app, ok := d.app.(*openClaw)
	if !ok {
		return nil
	}
	browser := browserOf(r)
	_, host, https, _ := d.proxy.Sender(r)
	scheme := "http://"
	if https {
		scheme = "https://"
	}
	pages := scheme + host + strings.TrimSuffix(ui.Prefix, "/")
	who := auth.From(r.Context())
	return func(message string, room int) string {
		if request := openclaw.PairingRequest(message); request != "" {
			if browser != "" {
				app.room.Refused(browser, request)
			}
			if d.vouchesFor(who) {
				d.dropping.Go(func() { d.letIn(request, who.Name) })
			}
		}
		return openclaw.Advise(message, pages, room)
	}
}

// vouchesFor tells whether devices of somebody who is signed in are let in unasked.
// A token is a program's, and where nobody is asked to sign in nobody is known.
func (d *daemon) vouchesFor(who auth.Principal) bool {
	person := slices.Contains([]auth.Kind{auth.KindSession, auth.KindAccess, auth.KindHeader}, who.Kind)
	return person && who.May(auth.Operate) && d.cfg().Gateway.OpenClaw.Approve == config.ApproveSignedIn
}

// letIn has a device let in; it asks again by itself.
func (d *daemon) letIn(request, person string) {
	desk, ok := d.engineNow.Load().devices().(*deviceDesk)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), letInTime)
	defer cancel()
	if err := desk.letIn(ctx, request, person); err != nil {
		d.log.Warn("the device of a person who is signed in could not be let in; it waits for approval", "person", person, "error", err)
	}
}
