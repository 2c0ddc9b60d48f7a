package fake

import (
	"context"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// talk is what was said in the direct chats of a messenger between people and a
// bot, as it stands: edited and deleted messages are as the people see them.
type talk struct {
	mu      sync.Mutex
	lines   []line
	version int           // counts the changes
	changed chan struct{} // closed with each change
}

type line struct {
	id   int64
	chat int64 // of whom
	bot  bool  // said by the bot
	text string
	at   time.Time
}

func newTalk() *talk { return &talk{changed: make(chan struct{})} }

// add says something. The id is the caller's.
func (k *talk) add(l line) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.at = time.Now()
	k.lines = append(k.lines, l)
	k.tell()
}

// edit changes what was said; false: there is no such message.
func (k *talk) edit(id int64, text string) bool {
	return k.change(id, func(i int) { k.lines[i].text = text })
}

// remove takes it back.
func (k *talk) remove(id int64) bool {
	return k.change(id, func(i int) { k.lines = append(k.lines[:i:i], k.lines[i+1:]...) })
}

func (k *talk) change(id int64, do func(i int)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, l := range k.lines {
		if l.id == id {
			do(i)
			k.tell()
			return true
		}
	}
	return false
}

// tell wakes all who wait. The caller has the lock.
func (k *talk) tell() {
	k.version++
	close(k.changed)
	k.changed = make(chan struct{})
}

// byBot gives what the bot has said.
func (k *talk) byBot() []line {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []line
	for _, l := range k.lines {
		if l.bot {
			list = append(list, l)
		}
	}
	return list
}

// since waits until something has changed since a version, and gives what was said
// with one person, and the version.
func (k *talk) since(ctx context.Context, version int, chat int64) ([]line, int) {
	for {
		k.mu.Lock()
		now, changed := k.version, k.changed
		var list []line
		for _, l := range k.lines {
			if l.chat == chat {
				list = append(list, l)
			}
		}
		k.mu.Unlock()
		if now != version {
			return list, now
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return list, now
		}
	}
}

// app is a person's messenger as a page: what was said, and a field to say more.
type app struct {
	name string // of the messenger
	talk *talk
	say  func(user int64, text string)
}

//go:embed talk.html
var appPage string

var appTemplate = template.Must(template.New("app").Parse(appPage))

// appPath is where the pages are.
const appPath = "/app/"

// serve serves /app/USER, /app/USER/lines?since=VERSION and POST /app/USER/say.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	user := func(do func(w http.ResponseWriter, r *http.Request, user int64)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			id, err := strconv.ParseInt(r.PathValue("user"), 10, 64)
			if err != nil {
				http.NotFound(w, r)
				return
			}
			do(w, r, id)
		}
	}
	mux.HandleFunc("GET "+appPath+"{user}", user(func(w http.ResponseWriter, _ *http.Request, id int64) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = appTemplate.Execute(w, map[string]any{"Name": a.name, "Base": appPath + strconv.FormatInt(id, 10)}) // the browser may be gone
	}))
	mux.HandleFunc("GET "+appPath+"{user}/lines", user(func(w http.ResponseWriter, r *http.Request, id int64) {
		version, err := strconv.Atoi(r.URL.Query().Get("since"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), longPoll)
		defer cancel()
		type said struct {
			ID   string `json:"id"`
			Bot  bool   `json:"bot"`
			Text string `json:"text"`
		}
		lines, version := a.talk.since(ctx, version, id)
		list := make([]said, 0, len(lines))
		for _, l := range lines {
			list = append(list, said{strconv.FormatInt(l.id, 10), l.bot, l.text})
		}
		writeJSON(w, map[string]any{"version": version, "lines": list})
	}))
	mux.HandleFunc("POST "+appPath+"{user}/say", user(func(w http.ResponseWriter, r *http.Request, id int64) {
		var body struct{ Text string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body); err != nil || body.Text == "" {
			http.Error(w, "no text", http.StatusBadRequest)
			return
		}
		a.say(id, body.Text)
		w.WriteHeader(http.StatusNoContent)
	}))
	return mux
}
