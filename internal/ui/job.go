package ui

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"creel/internal/gateway"
	"creel/internal/snapshot"
	"creel/internal/telemetry"
)

// jobs are what was asked for on these pages and takes its time. A job goes on
// when nobody looks; its page can be left and found again.
type jobs struct {
	mu   sync.Mutex
	list []*job // the newest last
}

// mostJobs is how many are remembered, those that have ended first forgotten.
const mostJobs = 32

// job is one of them.
type job struct {
	id    string
	what  string // as in snapshot.Doing
	title string
	owner string
	began time.Time
	done  chan struct{} // closed when it has ended

	// Written before done is closed.
	ended time.Time
	text  string
	link  string
	err   error
}

// jobState is a job as a page shows it.
type jobState struct {
	ID, Title string
	Began     time.Time
	Done      bool
	Ended     time.Time
	Tone      string
	Text      string
	Hint      string
	Link      string
}

func (j *job) state() jobState {
	s := jobState{ID: j.id, Title: j.title, Began: j.began, Tone: toneBusy}
	select {
	case <-j.done:
	default:
		return s
	}
	s.Done, s.Ended, s.Tone, s.Text, s.Link = true, j.ended, toneOK, j.text, j.link
	if j.err != nil {
		s.Tone, s.Text, s.Hint, s.Link = toneBad, sentence(telemetry.Redact(j.err.Error())), hintOf(j.err), ""
	}
	return s
}

// begin starts a job. do gives what to tell of its end, and where that leads.
func (u *UI) begin(r *http.Request, what, title string, do func(ctx context.Context) (text, link string, err error)) (*job, error) {
	j := &job{id: rand.Text()[:12], what: what, title: title, owner: ownerOf(r), began: time.Now(), done: make(chan struct{})}
	if !u.spawn(func(ctx context.Context) {
		defer close(j.done)
		text, link, err := do(ctx)
		j.ended, j.text, j.link, j.err = time.Now(), text, link, err
		if u.snapshots != nil {
			u.snapshots.forget()
		}
		if err != nil {
			u.log.Warn("what was asked for on the admin pages has failed", "what", what, "error", err)
		}
	}) {
		return nil, errors.New("creel is stopping, and begins nothing any more")
	}
	u.jobs.add(j)
	return j, nil
}

func (js *jobs) add(j *job) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.list = append(js.list, j)
	for len(js.list) > mostJobs {
		i := slices.IndexFunc(js.list, func(j *job) bool { return j.state().Done })
		js.list = slices.Delete(js.list, max(i, 0), max(i, 0)+1)
	}
}

func (js *jobs) find(id string) *job {
	js.mu.Lock()
	defer js.mu.Unlock()
	for _, j := range js.list {
		if j.id == id {
			return j
		}
	}
	return nil
}

// underWay gives those that are under way, for anyone who may look.
func (js *jobs) underWay() []jobState {
	js.mu.Lock()
	defer js.mu.Unlock()
	var out []jobState
	for _, j := range slices.Backward(js.list) {
		if s := j.state(); !s.Done {
			out = append(out, s)
		}
	}
	return out
}

// soonTime is how long an action waits for the end of its job before it leads to
// the job's page.
const soonTime = 1500 * time.Millisecond

// soon answers for a job: with its end, if that comes soon.
func (u *UI) soon(r *http.Request, j *job, to string) (string, flash, error) {
	wait := time.NewTimer(soonTime)
	defer wait.Stop()
	select {
	case <-j.done:
		if j.err != nil {
			return to, flash{}, j.err
		}
		return to, flash{Tone: toneOK, Text: j.text}, nil
	case <-wait.C:
	case <-r.Context().Done():
	}
	return Prefix + "jobs/" + j.id, flash{}, nil
}

// Took is how long a job that has ended took.
func (s jobState) Took() time.Duration { return s.Ended.Sub(s.Began) }

// jobPage is what the page of a job shows.
type jobPage struct {
	Job   jobState
	Doing []progress
	Now   string // what the gateway does while it is the gateway that is waited for
	Means string // and what that means
}

func (p jobPage) pageTitle() string { return p.Job.Title }
func (p jobPage) refreshAfter() int {
	if p.Job.Done {
		return 0
	}
	return 3
}

func jobData(u *UI, r *http.Request) (any, error) {
	j := u.jobs.find(param(r, "id"))
	if j == nil {
		return nil, &pageError{http.StatusNotFound, "That is not known any more", "creel remembers what was asked for here until it is restarted.", "The timeline tells what has come of it."}
	}
	p := jobPage{Job: j.state()}
	if !p.Job.Done && u.opts.Snapshots != nil {
		var doing []snapshot.Doing
		for _, d := range u.opts.Snapshots.Status().Doing {
			if d.What == j.what || j.what == "restore" { // a restore takes a snapshot first
				doing = append(doing, d)
			}
		}
		p.Doing = progressOf(doing)
	}
	// Most of a restore's time is that of the gateway, which ends and starts.
	if st := u.opts.Supervisor.Status(); !p.Job.Done && len(p.Doing) == 0 && j.what == "restore" && st.State != gateway.Ready {
		p.Now, p.Means = pillOf(st).Word, stateSentence(st)
		if st.State == gateway.Starting {
			p.Means += " " + usual(u)
		}
	}
	return p, nil
}
