package daemon

import (
	"net/http"
	"strings"

	"creel/internal/openclaw"
	"creel/internal/proxy"
	"creel/internal/ui"
)

// adviser is an app whose refusals can be said in better words.
type adviser interface {
	// advise is a message of the app's for a client that reaches creel's pages at
	// this address, in at most room bytes.
	advise(message, pages string, room int) string
}

func (o *openClaw) advise(message, pages string, room int) string {
	return openclaw.Advise(message, pages, room)
}

// wording is the proxy's hook for what clients of WebSockets hear when the app
// refuses them.
func (d *daemon) wording(r *http.Request) proxy.Wording {
	app, ok := d.app.(adviser)
	if !ok {
		return nil
	}
	_, host, https, _ := d.proxy.Sender(r)
	scheme := "http://"
	if https {
		scheme = "https://"
	}
	pages := scheme + host + strings.TrimSuffix(ui.Prefix, "/")
	return func(message string, room int) string { return app.advise(message, pages, room) }
}
