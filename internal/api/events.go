package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"creel/internal/auth"
	"creel/internal/event"
)

// EventQuery are the parameters of GET events.
type EventQuery struct {
	Kind   []string  `query:"kind" doc:"only events of these kinds"`
	Since  time.Time `query:"since" doc:"only events since then"`
	After  uint64    `query:"after" doc:"only events with a higher number than this; a stream gives all of them"`
	Before uint64    `query:"before" doc:"only events with a lower number than this; of a list, to see what came before it"`
	Limit  int       `query:"limit" max:"1000" doc:"at most so many events, the newest of those that match; of a stream: how many to begin with (default 100; 0 for server-sent events)"`
	Tail   int       `query:"tail" max:"1000" doc:"another name of limit"`
	Follow bool      `query:"follow" doc:"of JSON lines: go on with the events to come, as server-sent events do anyway"`
}

// EventList is the answer to GET events.
type EventList struct {
	Events []event.Event `json:"events"` // oldest first
	More   bool          `json:"more"`   // there are older ones that match; see the parameter before
}

const usualEvents = 100

func (a *API) eventRoutes() []route {
	return []route{
		handle("GET", v1("events"), auth.Read, "listEvents", "What has happened to the gateway and why: the newest events; as JSON lines or as server-sent events also those to come. A stream is resumed by Last-Event-ID",
			a.events, jsonOf[EventList](), linesOf[event.Event](), eventsOf[event.Event]()),
	}
}

func (a *API) events(w http.ResponseWriter, r *http.Request, q EventQuery) {
	media := choose(w, r, mediaJSON, mediaNDJSON, mediaSSE)
	given := r.URL.Query()
	if given.Has("tail") && given.Has("limit") {
		bad(w, "tail is another name of limit: give one of them")
		return
	}
	limit := max(q.Limit, q.Tail)
	resumed := given.Has("after") // 0 too: from the first one on
	if last := r.Header.Get("Last-Event-ID"); last != "" && media == mediaSSE {
		seq, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			bad(w, "Last-Event-ID is no number of an event: "+strconv.Quote(last))
			return
		}
		q.After, resumed = max(q.After, seq), true
	}
	if !given.Has("tail") && !given.Has("limit") && (media != mediaSSE || !q.Since.IsZero()) {
		limit = usualEvents
	}
	switch media {
	case mediaJSON:
		list, more := a.history(r.Context(), q, limit)
		writeJSON(w, http.StatusOK, EventList{append([]event.Event{}, list...), more})
	case mediaNDJSON, mediaSSE:
		follow := media == mediaSSE || q.Follow
		last := a.lastEvent() // before the client knows that it is connected
		a.stream(w, r, media, false, func(ctx context.Context, emit func(item) bool) {
			a.giveEvents(ctx, q, last, limit, resumed, follow, emit)
		})
	}
}

// lastEvent is the number of the newest event; 0: there is none.
func (a *API) lastEvent() uint64 {
	if newest := a.opts.Journal.Recent(1); len(newest) > 0 {
		return newest[0].Seq
	}
	return 0
}

// giveEvents gives what has happened up to the last event and, if it follows, what
// is to come. What is resumed leaves out nothing, however much that is.
func (a *API) giveEvents(ctx context.Context, q EventQuery, last uint64, limit int, resumed, follow bool, emit func(item) bool) {
	q.After = min(q.After, last) // a higher number is of a journal that was lost
	after := q.After
	if !resumed || !follow {
		after = last
		q.Before = min(q.Before-1, after) + 1 // what comes meanwhile is for Subscribe; 0 wraps to the highest
		list, _ := a.history(ctx, q, limit)
		for _, e := range list {
			if !emit(asItem(e)) {
				return
			}
		}
	}
	if !follow {
		return
	}
	for e := range a.opts.Journal.Subscribe(ctx, after) {
		if q.matches(e) && !emit(asItem(e)) {
			return
		}
	}
}

func asItem(e event.Event) item { return item{id: strconv.FormatUint(e.Seq, 10), data: e} }

// matches tells whether an event is of those that are asked for, but for Before.
func (q EventQuery) matches(e event.Event) bool {
	return e.Seq > q.After && (len(q.Kind) == 0 || slices.Contains(q.Kind, string(e.Kind))) && !e.Time.Before(q.Since)
}

// history gives the newest events that match, at most limit of them, oldest
// first, and whether there are older ones. What is not in memory any more comes
// from the journal's files.
func (a *API) history(ctx context.Context, q EventQuery, limit int) (list []event.Event, more bool) {
	add := func(e event.Event) {
		if q.matches(e) && (q.Before == 0 || e.Seq < q.Before) {
			list = append(list, e)
		}
	}
	recent := a.opts.Journal.Recent(event.DefaultMemory)
	for _, e := range recent {
		add(e)
	}
	if len(list) <= limit && len(recent) > 0 && recent[0].Seq > q.After+1 && recent[0].Time.After(q.Since) {
		held := list
		list = nil
		for e := range a.opts.Journal.Subscribe(ctx, q.After) {
			if e.Seq >= recent[0].Seq {
				break
			}
			add(e)
			if len(list) > 4*(limit+1) { // only the newest count
				list = append(list[:0], list[len(list)-limit-1:]...)
			}
		}
		list = append(list, held...)
	}
	if len(list) > limit {
		return list[len(list)-limit:], true
	}
	return list, false
}
