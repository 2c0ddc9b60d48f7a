package ui

import (
	"net/http"

	"creel/internal/auth"
	"creel/internal/openclaw"
	"creel/internal/snapshot/store"
)

// confirmation is a page that says what an action will do before it is done. Its
// form posts to the path of the page.
type confirmation struct {
	pattern string
	section string
	title   string
	needs   auth.Scope
	data    func(u *UI, r *http.Request) (any, error)
}

// confirmPage is what such a page shows.
type confirmPage struct {
	Title  string
	Text   string
	Points []string // what will happen, in order
	Facts  []fact
	Fields []field
	Action string
	Do     string // on the button
	Grave  bool   // it is not undone easily
	Back   string
}

func (p confirmPage) pageTitle() string { return p.Title }

type fact struct{ Name, Value string }

// field is an input of the form.
type field struct {
	Name, Value string
	Label       string // empty: it is not seen
	Check       bool
	Hint        string
}

const (
	pathRestart  = Prefix + "gateway/restart"
	pathStop     = Prefix + "gateway/stop"
	pathStart    = Prefix + "gateway/start"
	pathSnapshot = Prefix + "snapshots/create"
)

var confirmations = []confirmation{
	{pathRestart, "overview", "Restart the gateway", auth.Operate, confirmRestart},
	{pathStop, "overview", "Stop the gateway", auth.Operate, confirmStop},
	{Prefix + "devices/reject", "devices", "Reject a device", auth.Operate, confirmReject},
	{Prefix + "devices/revoke", "devices", "Revoke a device", auth.Operate, confirmRevoke},
	{Prefix + "snapshots/{id}/restore", "snapshots", "Restore a snapshot", auth.Admin, confirmRestore},
	{Prefix + "snapshots/{id}/remove", "snapshots", "Remove a snapshot", auth.Admin, confirmRemove},
	{Prefix + "settings/sessions/revoke", "settings", "End a session", auth.Admin, confirmSession},
	{Prefix + "settings/tokens/revoke", "settings", "Revoke a token", auth.Admin, confirmToken},
	{pathRemovePassword, "settings", "Remove the password", auth.Admin, confirmRemovePassword},
	{pathRemovePasskey, "settings", "Remove a passkey", auth.Admin, confirmRemovePasskey},
}

func confirmRestart(u *UI, _ *http.Request) (any, error) {
	return confirmPage{
		Title: "Restart the gateway?", Action: pathRestart, Do: "Restart", Back: Prefix,
		Points: []string{
			"Requests under way may come to their end; new ones wait, and are passed on to the new instance.",
			"The gateway is asked to end, and ended if it takes too long.",
			"It is started again at once, with the configuration as it is now. " + usual(u),
			"WebSockets, chats among them, are closed and have to connect again.",
		},
	}, nil
}

// usual says how long a start usually takes.
func usual(u *UI) string {
	if d := u.opts.Supervisor.Status().UsualStart; d > 0 {
		return "A start usually takes " + span(d) + "."
	}
	return ""
}

func confirmStop(_ *UI, _ *http.Request) (any, error) {
	return confirmPage{
		Title: "Stop the gateway?", Action: pathStop, Do: "Stop", Grave: true, Back: Prefix,
		Points: []string{
			"Requests under way may come to their end; new ones are turned away.",
			"The gateway is asked to end, and ended if it takes too long.",
			"It stays stopped until somebody starts it, here or by `creel start`, also over a restart of the machine.",
			"Agents, channels and timers do nothing in the meantime. Its state stays as it is.",
		},
	}, nil
}

func confirmReject(u *UI, r *http.Request) (any, error) {
	d, err := u.deviceNamed(r)
	if err != nil {
		return nil, err
	}
	return confirmPage{
		Title: "Reject " + d.Title() + "?", Action: Prefix + "devices/reject", Do: "Reject it", Back: Prefix + "devices", Facts: factsOf(d),
		Points: []string{"Its request is forgotten, and it is not let in.", "Whoever knows the gateway's token can ask again."},
		Fields: []field{{Name: "id", Value: d.ID}},
	}, nil
}

func confirmRevoke(u *UI, r *http.Request) (any, error) {
	d, err := u.deviceNamed(r)
	if err != nil {
		return nil, err
	}
	return confirmPage{
		Title: "Revoke " + d.Title() + "?", Action: Prefix + "devices/revoke", Do: "Revoke it", Grave: true, Back: Prefix + "devices", Facts: factsOf(d),
		Points: []string{"Its connections are closed at once.", "The gateway forgets it. With the gateway's token it can ask to be let in again, and waits for approval then."},
		Fields: []field{{Name: "id", Value: d.ID}},
	}, nil
}

func factsOf(d openclaw.Device) []fact {
	list := []fact{{"Platform", d.Platform}, {"Program", d.Client}, {"Address", d.Address}, {"Id", clip(d.ID, 16)}}
	out := list[:0]
	for _, f := range list {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

func confirmRestore(u *UI, r *http.Request) (any, error) {
	s, _, err := u.snapshotNamed(r)
	if err != nil {
		return nil, err
	}
	p := confirmPage{
		Title: "Restore the state of " + s.Time.Local().Format("2 January 2006, 15:04:05") + "?", Action: Prefix + "snapshots/" + string(s.ID) + "/restore", Do: "Restore this snapshot", Grave: true,
		Back: Prefix + "snapshots/" + string(s.ID), Facts: snapshotFacts(s),
		Points: []string{
			"A snapshot of the present state is taken first, so that you can come back to it.",
			"The snapshot's files are put beside the present ones and checked. If anything is wrong with them, nothing is changed.",
			"The gateway is stopped in good order: requests under way may come to their end, new ones wait.",
			"The present state is set aside, and the restored one takes its place.",
			"The gateway is started on it. " + usual(u) + " If it does not get ready, the present state is put back and started again.",
			"All that has changed since that snapshot is gone from the gateway: chats, files and settings are as they were then.",
		},
		Fields: []field{{Name: "no_snapshot", Value: "1", Label: "Do not take a snapshot of the present state first", Check: true, Hint: "It is set aside all the same, but not kept in the store."}},
	}
	if s.Damaged != "" {
		p.Text = "This snapshot is damaged: " + sentence(s.Damaged)
		p.Fields = append(p.Fields, field{Name: "accept_damaged", Value: "1", Label: "Restore databases that are damaged, too", Check: true, Hint: "The gateway may not be able to read them."})
	}
	return p, nil
}

func snapshotFacts(s store.Snapshot) []fact {
	facts := []fact{{"Snapshot", string(s.ID)}, {"Taken", reasonWords(s.Reason)}, {"Holds", fileCount(s.Totals.Files) + ", " + size(s.Totals.Bytes)}}
	if s.AppVersion != "" {
		facts = append(facts, fact{"Version of the app", s.AppVersion})
	}
	if s.Note != "" {
		facts = append(facts, fact{"Note", s.Note})
	}
	return facts
}

func confirmRemove(u *UI, r *http.Request) (any, error) {
	s, _, err := u.snapshotNamed(r)
	if err != nil {
		return nil, err
	}
	return confirmPage{
		Title: "Remove the snapshot of " + s.Time.Local().Format("2 January 2006, 15:04:05") + "?", Action: Prefix + "snapshots/" + string(s.ID) + "/remove", Do: "Remove it", Grave: true,
		Back: Prefix + "snapshots/" + string(s.ID), Facts: snapshotFacts(s),
		Points: []string{"The snapshot is gone, and no way leads back to it.", "Other snapshots keep all that they need. The last good one is never removed: creel refuses that."},
	}, nil
}

func confirmSession(u *UI, r *http.Request) (any, error) {
	if u.opts.Identity == nil {
		return nil, errNoIdentity
	}
	id := r.URL.Query().Get("id")
	for _, s := range u.opts.Identity.Sessions() {
		if s.ID != id {
			continue
		}
		p := confirmPage{
			Title: "End the session of " + s.Name + "?", Action: Prefix + "settings/sessions/revoke", Do: "End it", Grave: true, Back: Prefix + "settings#sessions",
			Facts:  []fact{{"Signed in by", s.Method}, {"Address", s.Address}, {"Browser", browserOf(s.Agent)}, {"Since", s.Created.Local().Format("2 Jan 2006, 15:04")}},
			Points: []string{"What that browser has open is closed at once, chats with the gateway among it, and its next click is refused.", "Whoever it is can sign in again, if they know how."},
			Fields: []field{{Name: "id", Value: s.ID}},
		}
		if s.ID == auth.From(r.Context()).Session {
			p.Text = "This is your own session: you will be signed out."
		}
		return p, nil
	}
	return nil, &pageError{http.StatusNotFound, "No such session", "It has ended already.", ""}
}

func confirmToken(u *UI, r *http.Request) (any, error) {
	if u.opts.Identity == nil {
		return nil, errNoIdentity
	}
	id := r.URL.Query().Get("id")
	for _, t := range u.opts.Identity.Tokens() {
		if t.ID == id {
			return confirmPage{
				Title: "Revoke the token “" + t.Name + "”?", Action: Prefix + "settings/tokens/revoke", Do: "Revoke it", Grave: true, Back: Prefix + "settings#tokens",
				Points: []string{"What uses it loses its open connections at once, and is refused from then on.", "It cannot be brought back; a new one can be made."},
				Fields: []field{{Name: "id", Value: t.ID}},
			}, nil
		}
	}
	return nil, &pageError{http.StatusNotFound, "No such token", "It has been revoked already.", ""}
}
