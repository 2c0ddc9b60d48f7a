package ui

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"creel/internal/auth"
	"creel/internal/telemetry"
)

// flash is a message that is shown once, after an action.
type flash struct {
	Tone   string // "ok" or "bad"
	Text   string
	Hint   string
	Secret telemetry.Secret // shown in full, once
	Path   string           // a link that is shown in full, once
	owner  string
	until  time.Time
}

// flashes are messages that wait for the page that shows them. They are named in
// the address by a random key that is of no use twice, and to nobody else.
type flashes struct {
	mu     sync.Mutex
	byName map[string]flash
}

// flashTime is how long one waits, maxFlashes how many may.
const (
	flashTime  = time.Minute
	maxFlashes = 256
)

// ownerOf names a principal among others.
func ownerOf(r *http.Request) string {
	p := auth.From(r.Context())
	return string(p.Kind) + "\x00" + p.Name + "\x00" + p.Session
}

func (f *flashes) put(r *http.Request, m flash) (key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for key, old := range f.byName {
		if now.After(old.until) || len(f.byName) >= maxFlashes {
			delete(f.byName, key)
		}
	}
	if f.byName == nil {
		f.byName = map[string]flash{}
	}
	m.owner, m.until = ownerOf(r), now.Add(flashTime)
	key = rand.Text()
	f.byName[key] = m
	return key
}

// take gives the message that a request names, if it is the requester's.
func (f *flashes) take(r *http.Request) *flash {
	key := r.URL.Query().Get("flash")
	if key == "" {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.byName[key]
	if !ok || m.owner != ownerOf(r) {
		return nil
	}
	delete(f.byName, key)
	if time.Now().After(m.until) {
		return nil
	}
	return &m
}
