package ui

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"creel/internal/auth"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/history"
	"creel/internal/openclaw"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
	"creel/internal/telemetry"
)

// overviewPage is what the overview shows.
type overviewPage struct {
	Status   gateway.Status
	Pill     pill
	Sentence string
	Reason   string
	Cause    string // of the last end
	Message  string
	Hint     string
	Log      []string
	Held     int
	Running  bool // an instance runs
	CanStart bool

	Started time.Time // creel itself
	Listen  string

	Attention []attention
	Hints     []attention // worth knowing, and no trouble
	Charts    []chart
	Hour      bool // the charts show an hour, not a day
	Safety    safety
	Doing     []progress
}

// attention is something that a person should look at.
type attention struct {
	Tone  string
	Title string
	Text  string
	Link  string // where it is dealt with; empty: not here
	Label string
}

// safety is how safe the gateway's state is.
type safety struct {
	Kept     bool // somebody looks after it
	Status   snapshot.Status
	Last     *store.Snapshot // the newest; nil: none, or not known yet
	Pill     pill
	Sentence string
}

func overviewData(u *UI, r *http.Request) (any, error) {
	st := u.opts.Supervisor.Status()
	p := overviewPage{
		Status: st, Pill: pillOf(st), Sentence: stateSentence(st), Reason: telemetry.Redact(st.Reason), Held: u.opts.Supervisor.Held(),
		Started: u.opts.StartedAt, Listen: u.opts.Listen, Running: st.PID != 0,
		CanStart: st.State == gateway.Stopped || st.State == gateway.Failed || st.State == gateway.Backoff,
	}
	if st.LastEnd != nil {
		p.Cause, p.Message, p.Hint = capital(causeWords(st.LastEnd.Cause)), telemetry.Redact(st.LastEnd.Message), telemetry.Redact(st.LastEnd.Hint)
		if st.LastEnd.Cause != gateway.CauseAsked { // then they tell of nothing
			p.Log = texts(st.LastEnd.Log)
		}
	}
	p.Safety = u.safety(r)
	p.Doing = progressOf(p.Safety.Status.Doing)
	list, _ := u.deviceList(r.Context()) // the page Devices says what is wrong with it
	for _, a := range u.attention(r, st, list, p.Safety) {
		if a.Tone == toneInfo {
			p.Hints = append(p.Hints, a)
		} else {
			p.Attention = append(p.Attention, a)
		}
	}
	if u.opts.History != nil {
		long := r.URL.Query().Get("range") == "day"
		p.Hour = !long
		length := history.Fine
		if long {
			length = history.Coarse
		}
		now := time.Now()
		p.Charts = charts(now, u.opts.History.Since(now, length), length)
	}
	return p, nil
}

// attention gathers what needs a person.
func (u *UI) attention(r *http.Request, st gateway.Status, devices []openclaw.Device, safe safety) []attention {
	var list []attention
	if st.State == gateway.Failed && st.LastEnd != nil {
		list = append(list, attention{toneBad, "The gateway was given up", sentence(telemetry.Redact(st.LastEnd.Message)) + " " + sentence(st.LastEnd.Hint), Prefix + "timeline?kind=crash", "See its crashes"})
	}
	if asking := pendingOf(devices); len(asking) > 0 {
		list = append(list, askingDevices(asking))
	}
	if u.opts.Health != nil {
		for _, report := range u.opts.Health() {
			a := attention{toneOf(report.Severity), sentence(telemetry.Redact(report.Message)), sentence(telemetry.Redact(report.Hint)), conditionLink(report.Condition), "Look"}
			if a.Link == OpenPath {
				if a.Label = "Open the gateway"; !auth.From(r.Context()).May(auth.Use) {
					a.Link = ""
				}
			}
			list = append(list, a)
		}
	}
	if s := safe.Last; s != nil && s.Damaged != "" {
		list = append(list, attention{toneBad, "The newest snapshot is damaged", sentence(s.Damaged), Prefix + "snapshots/" + string(s.ID), "Look"})
	}
	for _, p := range st.Strays {
		list = append(list, attention{toneWarn, "A process runs in the gateway's name beside it", telemetry.Redact(p.Command) + " (" + p.Where + ")", Prefix + "timeline", "See the timeline"})
	}
	if u.opts.Pending != nil && len(u.opts.Pending()) > 0 {
		list = append(list, attention{toneWarn, "Changes of the configuration do not count yet", "They were read, and wait for a restart or an upgrade.", Prefix + "settings#pending", "See which"})
	}
	return list
}

// toneOf is how a condition of a severity is shown.
func toneOf(s health.Severity) string {
	switch s {
	case health.Info:
		return toneInfo
	case health.Warning:
		return toneWarn
	}
	return toneBad
}

// troubles counts the conditions that something is wrong with: hints are none.
func troubles(list []health.Report) int {
	n := 0
	for _, r := range list {
		if r.Severity != health.Info {
			n++
		}
	}
	return n
}

// askingDevices is about devices that wait for approval.
func askingDevices(list []openclaw.Device) attention {
	a := attention{toneWarn, "A device asks to pair: " + list[0].Title(), "Approve it only if it is yours, or of someone that you know.", Prefix + "devices", "Decide"}
	if len(list) > 1 {
		names := make([]string, 0, shownNames)
		for _, d := range list[:min(len(list), shownNames)] {
			names = append(names, d.Title())
		}
		a.Title, a.Text = fmt.Sprintf("%d devices ask to pair", len(list)), strings.Join(names, ", ")
		if more := len(list) - shownNames; more > 0 {
			a.Text += fmt.Sprintf(" and %d more", more)
		}
		a.Text += ". Approve only those that are yours, or of someone that you know."
	}
	return a
}

// shownNames is how many devices are named where there is little room.
const shownNames = 4

// conditionLink is where a condition is dealt with.
func conditionLink(c health.Condition) string {
	switch c {
	case health.StateMissing, health.StateRecord, health.RestoreFailed, health.SnapshotStore, health.SnapshotFailed, health.Overdue, health.Unreadable, health.Shrunk, health.Incomplete, health.NotPruned:
		return Prefix + "snapshots"
	case health.Journal, health.DataFolder, health.LowSpace, health.Bodies, health.Descriptors, health.Connections, health.Start, health.Control, health.Ownership:
		return Prefix + "timeline?kind=health"
	case health.OpenClawConfig:
		return Prefix + "timeline?kind=config"
	case health.Provider: // it is chosen in OpenClaw's own pages
		return OpenPath
	case health.Variables, health.Keys, health.Plugins:
		return Prefix + "settings"
	}
	return Prefix + "timeline"
}

// safety says how safe the state is.
func (u *UI) safety(r *http.Request) safety {
	if u.opts.Snapshots == nil {
		return safety{Pill: pill{"Not looked after", toneOff}, Sentence: "creel takes no snapshots of this gateway: it was not told where the gateway keeps its state, or to take none."}
	}
	s := safety{Kept: true, Status: u.opts.Snapshots.Status()}
	if all, err := u.snapshotList(r.Context()); err == nil {
		for _, x := range all {
			if x.ID == s.Status.Last {
				s.Last = &x
			}
		}
	}
	switch st := s.Status; {
	case st.Missing:
		s.Pill, s.Sentence = pill{"Missing", toneBad}, "The state was saved before, and is gone; the gateway is not started without it."
	case len(st.Troubles) > 0:
		s.Pill, s.Sentence = pill{"In trouble", toneBad}, sentence(telemetry.Redact(st.Troubles[0]))
	case s.Last != nil && s.Last.Damaged != "":
		s.Pill, s.Sentence = pill{"Damaged", toneBad}, "The newest snapshot cannot be read back as it was saved."
	case st.Last == "":
		s.Pill, s.Sentence = pill{"No snapshot yet", toneWarn}, "The state is in no snapshot. The first one is taken once the gateway has been running for a while, or when you ask for it."
	case !st.Unsaved.IsZero():
		s.Pill, s.Sentence = pill{"Changed since", toneOK}, "There are changes that no snapshot has yet; the next one is due soon."
	default:
		s.Pill, s.Sentence = pill{"Safe", toneOK}, "All changes that creel knows of are in a snapshot."
	}
	return s
}
