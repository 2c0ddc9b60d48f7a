package fake

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TelegramToken is the bot's token that Telegram knows; it is nobody's.
const TelegramToken = "123456:FAKE-creel-test-token"

// Telegram is a Telegram Bot API with one bot, and the app of the people who talk to
// it as a page. As the real one it gives each update again until it was confirmed
// by an offset beyond it, and lets one client at a time ask for updates.
type Telegram struct {
	server *httptest.Server
	talk   *talk

	mu        sync.Mutex
	polls     []time.Time // of getUpdates that came in
	updates   []telegramUpdate
	next      int                // id of the next update
	delivered map[int]int        // by update: how often it was given
	poll      context.CancelFunc // ends the getUpdates that waits
	conflicts int
	changed   chan struct{} // closed with each change of the above
}

type telegramUpdate struct {
	ID      int            `json:"update_id"`
	Message map[string]any `json:"message"`
}

// TelegramMessage is one that the bot has sent, as it stands after edits.
type TelegramMessage struct {
	Chat int64
	Text string // without mark-up
	At   time.Time
}

// longPoll is how long getUpdates waits for something to happen, at most.
const longPoll = 20 * time.Second

// NewTelegram starts one that ends with the test.
func NewTelegram(t testing.TB) *Telegram {
	f := &Telegram{next: 1, talk: newTalk(), delivered: map[int]int{}, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/", f.serve)
	mux.Handle(appPath, (&app{"Telegram", f.talk, func(user int64, text string) { f.Say(user, text) }}).handler())
	f.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// URL is its address, for apiRoot.
func (f *Telegram) URL() string { return f.server.URL }

// App is the address of a user's app.
func (f *Telegram) App(user int64) string {
	return f.server.URL + appPath + strconv.FormatInt(user, 10)
}

// Say has a user send the bot a direct message. It gives the number of the update.
func (f *Telegram) Say(user int64, text string) (update int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	update = f.next
	f.next++
	person := map[string]any{"id": user, "is_bot": false, "first_name": "Anna", "username": "anna"}
	f.updates = append(f.updates, telegramUpdate{update, map[string]any{
		"message_id": update, "date": time.Now().Unix(), "text": text, "from": person,
		"chat": map[string]any{"id": user, "type": "private", "first_name": "Anna", "username": "anna"},
	}})
	f.talk.add(line{id: int64(update), chat: user, text: text})
	f.tell()
	return update
}

// Sent gives what the bot has sent so far.
func (f *Telegram) Sent() []TelegramMessage {
	var list []TelegramMessage
	for _, l := range f.talk.byBot() {
		list = append(list, TelegramMessage{l.chat, l.text, l.at})
	}
	return list
}

// Updates tells how often each update was given to the bot, and how many of them
// it has not confirmed yet.
func (f *Telegram) Updates() (given map[int]int, unconfirmed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	given = map[int]int{}
	for id, n := range f.delivered {
		given[id] = n
	}
	return given, len(f.updates)
}

// Conflicts tells how often two clients have asked for updates at once.
func (f *Telegram) Conflicts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conflicts
}

// PolledAfter waits until the bot asks for updates that was not asking at that
// moment, and says when it did.
func (f *Telegram) PolledAfter(ctx context.Context, moment time.Time) (time.Time, error) {
	return firstAfter(ctx, moment, func() ([]time.Time, <-chan struct{}) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Clone(f.polls), f.changed
	})
}

// tell wakes all who wait.
func (f *Telegram) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Telegram) serve(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/bot"+TelegramToken+"/")
	if !ok {
		f.fail(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	params := telegramParams(r)
	switch strings.ToLower(rest) {
	case "getme":
		f.ok(w, map[string]any{"id": 123456, "is_bot": true, "first_name": "Creel", "username": "creel_bot", "can_join_groups": true})
	case "getupdates":
		f.getUpdates(r.Context(), w, params)
	case "sendmessage":
		f.send(w, params)
	case "editmessagetext":
		f.edit(w, params)
	case "deletemessage":
		if !f.talk.remove(params.integer("message_id")) {
			f.fail(w, http.StatusBadRequest, "Bad Request: message to delete not found")
			return
		}
		f.ok(w, true)
	default:
		f.ok(w, true)
	}
}

func (f *Telegram) ok(w http.ResponseWriter, result any) {
	writeJSON(w, map[string]any{"ok": true, "result": result})
}

func (f *Telegram) fail(w http.ResponseWriter, status int, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, map[string]any{"ok": false, "error_code": status, "description": description})
}

// getUpdates gives the updates from an offset on; what is before it has been
// taken and is forgotten.
func (f *Telegram) getUpdates(ctx context.Context, w http.ResponseWriter, params telegramParameters) {
	offset := int(params.integer("offset"))
	asked := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := time.AfterFunc(longPoll, cancel)
	defer limit.Stop()
	over := false // another client has asked meanwhile
	f.mu.Lock()
	if f.poll != nil {
		f.poll()
	}
	f.poll = func() { over = true; cancel() }
	f.polls = append(f.polls, time.Now())
	f.tell()
	for {
		for len(f.updates) > 0 && f.updates[0].ID < offset {
			f.updates = f.updates[1:]
		}
		list, changed := append([]telegramUpdate{}, f.updates...), f.changed
		switch {
		case asked.Err() != nil: // the client is gone, and has got nothing
			if !over {
				f.poll = nil
			}
			f.mu.Unlock()
			return
		case over:
			f.conflicts++
			f.mu.Unlock()
			f.fail(w, http.StatusConflict, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
			return
		case len(list) > 0 || ctx.Err() != nil:
			f.poll = nil
			for _, u := range list {
				f.delivered[u.ID]++
			}
			f.mu.Unlock()
			f.ok(w, list)
			return
		}
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
}

func (f *Telegram) send(w http.ResponseWriter, params telegramParameters) {
	f.mu.Lock()
	id := int64(1000 + f.next)
	f.next++
	f.mu.Unlock()
	chat, text := params.integer("chat_id"), params.text()
	f.talk.add(line{id: id, chat: chat, bot: true, text: text})
	f.ok(w, telegramSent(id, chat, text))
}

func (f *Telegram) edit(w http.ResponseWriter, params telegramParameters) {
	id, text := params.integer("message_id"), params.text()
	if !f.talk.edit(id, text) {
		f.fail(w, http.StatusBadRequest, "Bad Request: message to edit not found")
		return
	}
	f.ok(w, telegramSent(id, params.integer("chat_id"), text))
}

func telegramSent(id, chat int64, text string) map[string]any {
	return map[string]any{"message_id": id, "date": time.Now().Unix(), "text": text, "chat": map[string]any{"id": chat, "type": "private"}}
}

// telegramParameters are those of a call, from JSON or from the query; of forms
// nothing is needed.
type telegramParameters map[string]any

func telegramParams(r *http.Request) telegramParameters {
	params := telegramParameters{}
	for name, values := range r.URL.Query() {
		params[name] = values[0]
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil && kind == "application/json" {
		_ = json.Unmarshal(b, &params) // what is no JSON has no parameters
	}
	return params
}

// integer gives a number, which the API takes as a text too; 0: there is none, or
// it is the name of a channel.
func (p telegramParameters) integer(name string) int64 {
	switch v := p[name].(type) {
	case float64:
		return int64(v)
	case string:
		n, _ := strconv.ParseInt(v, 10, 64) // likewise
		return n
	}
	return 0
}

var telegramTag = regexp.MustCompile(`<[^>]*>`)

// text gives the text of a message as its reader sees it.
func (p telegramParameters) text() string {
	text, _ := p["text"].(string)
	if p["parse_mode"] == "HTML" {
		text = html.UnescapeString(telegramTag.ReplaceAllString(text, ""))
	}
	return text
}
