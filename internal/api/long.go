package api

import (
	"context"
	"net/http"
	"time"

	"creel/internal/problem"
	"creel/internal/snapshot"
)

// doingEvery is how often a long call says how far it is.
const doingEvery = 200 * time.Millisecond

// Line is one piece of the answer to a long call: how far it is now and then, and
// in the end the result or a problem.
type Line[T any] struct {
	Doing   []snapshot.Doing  `json:"doing,omitempty"`
	Result  *T                `json:"result,omitempty"`
	Problem *problem.Document `json:"problem,omitempty"`
}

// longAnswers are the forms of the answer to a long call: pieces as they come, or
// the result alone in the end, with the status that is its own.
func longAnswers[T any]() []answer {
	return []answer{linesOf[Line[T]](), eventsOf[Line[T]](), jsonOf[T]()}
}

// longly answers to a long call. What it does is waited for if the client is gone,
// too: whether it goes on then is its own decision, by its context.
func longly[Q, T any](a *API, do func(context.Context, Snapshots, *http.Request, Q) (T, error)) func(http.ResponseWriter, *http.Request, Q) {
	return onSnapshots(a, func(s Snapshots, w http.ResponseWriter, r *http.Request, q Q) error {
		media := choose(w, r, mediaNDJSON, mediaSSE, mediaJSON)
		switch media {
		case "":
		case mediaJSON:
			got, err := do(r.Context(), s, r, q)
			if err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, got)
		default:
			a.stream(w, r, media, false, func(ctx context.Context, emit func(item) bool) {
				progress(ctx, s, emit, func() Line[T] {
					got, err := do(r.Context(), s, r, q)
					if err != nil {
						return Line[T]{Problem: snapshotProblem(err)}
					}
					return Line[T]{Result: &got}
				})
			})
		}
		return nil
	})
}

// progress tells how far a call is until it has ended, and what came of it. Of
// server-sent events, the last one is of type "end".
func progress[T any](ctx context.Context, s Snapshots, emit func(item) bool, call func() Line[T]) {
	done := make(chan Line[T], 1)
	go func() { done <- call() }() // it is waited for below
	tick := time.NewTicker(doingEvery)
	defer tick.Stop()
	gone := ctx.Done()
	for {
		select {
		case l := <-done:
			emit(item{event: "end", data: l})
			return
		case <-tick.C:
			if doing := s.Status().Doing; len(doing) > 0 {
				emit(item{data: Line[T]{Doing: doing}})
			}
		case <-gone:
			tick.Stop() // nobody reads
			gone = nil
		}
	}
}
