package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/telemetry"
	"creel/internal/wording"
)

// timelinePage is what the timeline shows.
type timelinePage struct {
	Days    []timelineDay // the newest first
	Kinds   []timelineKind
	Kind    string
	Older   string // where the older entries are; empty: there are none
	Newer   bool   // this is not the newest part
	Entries int
}

type timelineKind struct {
	Name, Title string
	Now         bool
}

type timelineDay struct {
	At      time.Time
	Entries []timelineEntry
}

type timelineEntry struct {
	event.Event
	Title    string
	Kind     string // of the filter
	Tone     string
	Cause    string
	Hint     string
	Log      []string
	More     []string // what else is known, as "name: value"
	Beside   string   // the same in one line, where it is short
	Times    int      // how often in a row, if more than once
	Snapshot string   // the snapshot that it is about
}

// perTimeline is how many entries a page has, journalMemory how many events are
// looked at: all that the journal keeps in memory.
const (
	perTimeline   = 100
	journalMemory = event.DefaultMemory
)

// kindsOfTimeline are the kinds that entries can be filtered by.
var kindsOfTimeline = []timelineKind{
	{Name: "", Title: "All"}, {Name: "start", Title: "Starts and stops"}, {Name: "crash", Title: "Crashes"}, {Name: "replay", Title: "Replays"},
	{Name: "snapshot", Title: "Snapshots"}, {Name: "restore", Title: "Restores"}, {Name: "device", Title: "Devices"}, {Name: "signin", Title: "Sign-ins"},
	{Name: "config", Title: "Configuration"}, {Name: "health", Title: "Health"},
}

func timelineData(u *UI, r *http.Request) (any, error) {
	q := r.URL.Query()
	p := timelinePage{Kind: q.Get("kind")}
	for _, k := range kindsOfTimeline {
		k.Now = k.Name == p.Kind
		p.Kinds = append(p.Kinds, k)
	}
	if !slices.ContainsFunc(p.Kinds, func(k timelineKind) bool { return k.Now }) {
		return nil, &pageError{http.StatusNotFound, "No such kind", "The timeline has no kind of that name.", ""}
	}
	before, err := strconv.ParseUint(q.Get("before"), 10, 64)
	p.Newer = err == nil
	var entries []timelineEntry
	recent := u.opts.Journal.Recent(journalMemory)
	for _, e := range slices.Backward(recent) {
		if p.Newer && e.Seq >= before {
			continue
		}
		if p.Kind != "" && wording.Event(e).Kind != p.Kind {
			continue
		}
		if n := len(entries); n > 0 && sameAs(entries[n-1].Event, e) {
			entries[n-1].Times++
			continue
		}
		if len(entries) == perTimeline {
			p.Older = fmt.Sprintf("%stimeline?kind=%s&before=%d", Prefix, p.Kind, e.Seq+1)
			break
		}
		entries = append(entries, entryOf(e))
	}
	for _, e := range entries {
		if n := len(p.Days); n == 0 || !sameDay(p.Days[n-1].At, e.Time) {
			p.Days = append(p.Days, timelineDay{At: e.Time})
		}
		day := &p.Days[len(p.Days)-1]
		day.Entries = append(day.Entries, e)
	}
	p.Entries = len(entries)
	return p, nil
}

func sameDay(a, b time.Time) bool {
	ay, am, ad := a.Local().Date()
	by, bm, bd := b.Local().Date()
	return ay == by && am == bm && ad == bd
}

// sameAs tells whether two entries in a row say the same of the same instance.
func sameAs(a, b event.Event) bool {
	return a.Kind == b.Kind && a.Message == b.Message && a.Generation == b.Generation && a.Fields["log"] == nil && b.Fields["log"] == nil
}

func entryOf(e event.Event) timelineEntry {
	a := wording.Event(e)
	entry := timelineEntry{Event: e, Title: a.Title, Kind: a.Kind, Tone: a.Tone, Times: 1}
	if message := telemetry.Redact(e.Message); !strings.Contains(strings.ToLower(a.Title), strings.ToLower(message)) { // it says more than its title
		entry.Message = capital(message)
	} else {
		entry.Message = ""
	}
	if e.Cause != "" && gateway.Cause(e.Cause) != gateway.CauseAsked {
		entry.Cause = causeWords(gateway.Cause(e.Cause))
	}
	names := make([]string, 0, len(e.Fields))
	for name := range e.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := e.Fields[name]
		switch name {
		case "hint":
			hint, _ := value.(string)
			entry.Hint = sentence(telemetry.Redact(hint))
		case "log":
			entry.Log = texts(value)
		default:
			if text := detail(name, value); text != "" {
				entry.More = append(entry.More, telemetry.Redact(text))
			}
		}
	}
	if line := strings.Join(entry.More, " · "); len(line) <= shortMore {
		entry.More, entry.Beside = nil, capital(line)
	}
	if id, ok := e.Fields["snapshot"]; ok {
		entry.Snapshot = fmt.Sprint(id)
		// Which one is said by a link.
		entry.Message = strings.TrimPrefix(strings.TrimPrefix(entry.Message, "Snapshot "+entry.Snapshot), ": ")
		entry.Message = capital(strings.ReplaceAll(entry.Message, "snapshot "+entry.Snapshot, "the snapshot"))
	}
	return entry
}

// shortMore is how much of what else is known needs no fold.
const shortMore = 90

// texts takes lines out of a field, which is []any if the event was read from a
// file.
func texts(value any) []string {
	var out []string
	switch list := value.(type) {
	case []string:
		out = slices.Clone(list) // those of others stay as they are
	case []any:
		for _, x := range list {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
	}
	for i := range out {
		out[i] = plainText(telemetry.Redact(out[i]))
	}
	return out
}

// longestValue is how much of a field is shown.
const longestValue = 400

func shownValue(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	var plainly any
	if err := json.Unmarshal(b, &plainly); err != nil {
		return "?"
	}
	return clip(inWords(plainly), longestValue)
}

// inWords writes what came from JSON without its marks.
func inWords(value any) string {
	switch v := value.(type) {
	case nil:
		return "none"
	case string:
		return v
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v]
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		words := make([]string, len(v))
		for i, x := range v {
			words[i] = inWords(x)
		}
		return strings.Join(words, ", ")
	case map[string]any:
		if key, ok := v["key"].(string); ok { // a change of a configuration
			return key + ": " + cmp.Or(inWords(v["before"]), "none") + " → " + cmp.Or(inWords(v["after"]), "none")
		}
		var words []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			words = append(words, plain(name)+" "+inWords(v[name]))
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(value)
}
