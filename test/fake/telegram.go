package fake

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TelegramToken is the bot's token that Telegram knows; it is nobody's.
const TelegramToken = "123456:FAKE-creel-test-token"

// Telegram is a Telegram Bot API with one bot.
type Telegram struct {
	server *httptest.Server

	mu      sync.Mutex
	polls   []time.Time // of getUpdates that came in
	updates []telegramUpdate
	next    int // id of the next update
	sent    []TelegramMessage
	changed chan struct{} // closed with each change
}

type telegramUpdate struct {
	ID      int            `json:"update_id"`
	Message map[string]any `json:"message"`
}

// TelegramMessage is one that the bot has sent.
type TelegramMessage struct {
	Chat int64
	Text string
	At   time.Time
}

// longPoll is how long getUpdates waits for something to happen, at most.
const longPoll = 20 * time.Second

// NewTelegram starts one that ends with the test.
func NewTelegram(t testing.TB) *Telegram {
	f := &Telegram{next: 1, changed: make(chan struct{})}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// URL is its address, for apiRoot.
func (f *Telegram) URL() string { return f.server.URL }

// Say has a user send the bot a direct message.
func (f *Telegram) Say(user int64, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	person := map[string]any{"id": user, "is_bot": false, "first_name": "Anna", "username": "anna"}
	f.updates = append(f.updates, telegramUpdate{f.next, map[string]any{
		"message_id": f.next, "date": time.Now().Unix(), "text": text, "from": person,
		"chat": map[string]any{"id": user, "type": "private", "first_name": "Anna", "username": "anna"},
	}})
	f.next++
	f.tell()
}

// Sent gives what the bot has sent so far.
func (f *Telegram) Sent() []TelegramMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]TelegramMessage(nil), f.sent...)
}

// PolledAfter waits until the bot asks for updates that was not asking at that
// moment, and says when it did.
func (f *Telegram) PolledAfter(ctx context.Context, moment time.Time) (time.Time, error) {
	for {
		f.mu.Lock()
		changed := f.changed
		for _, at := range f.polls {
			if at.After(moment) {
				f.mu.Unlock()
				return at, nil
			}
		}
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// tell wakes all who wait.
func (f *Telegram) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Telegram) serve(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/bot"+TelegramToken+"/")
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		writeJSON(w, map[string]any{"ok": false, "error_code": 401, "description": "Unauthorized"})
		return
	}
	params := telegramParams(r)
	switch strings.ToLower(rest) {
	case "getme":
		f.ok(w, map[string]any{"id": 123456, "is_bot": true, "first_name": "Creel", "username": "creel_bot", "can_join_groups": true})
	case "getupdates":
		f.getUpdates(r.Context(), w, params)
	case "sendmessage", "editmessagetext":
		f.send(w, params)
	default:
		f.ok(w, true)
	}
}

func (f *Telegram) ok(w http.ResponseWriter, result any) {
	writeJSON(w, map[string]any{"ok": true, "result": result})
}

// getUpdates gives the updates from an offset on; what is before it has been
// taken and is forgotten.
func (f *Telegram) getUpdates(ctx context.Context, w http.ResponseWriter, params map[string]any) {
	offset, _ := params["offset"].(float64)
	ctx, cancel := context.WithTimeout(ctx, longPoll)
	defer cancel()
	f.mu.Lock()
	f.polls = append(f.polls, time.Now())
	f.tell()
	for {
		for len(f.updates) > 0 && f.updates[0].ID < int(offset) {
			f.updates = f.updates[1:]
		}
		list, changed := append([]telegramUpdate{}, f.updates...), f.changed
		f.mu.Unlock()
		if len(list) > 0 || ctx.Err() != nil {
			f.ok(w, list)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
}

func (f *Telegram) send(w http.ResponseWriter, params map[string]any) {
	var chat int64
	switch id := params["chat_id"].(type) { // the API takes both
	case float64:
		chat = int64(id)
	case string:
		chat, _ = strconv.ParseInt(id, 10, 64) // else it is the name of a channel
	}
	text, _ := params["text"].(string)
	f.mu.Lock()
	f.sent = append(f.sent, TelegramMessage{chat, text, time.Now()})
	id := 1000 + len(f.sent)
	f.tell()
	f.mu.Unlock()
	f.ok(w, map[string]any{"message_id": id, "date": time.Now().Unix(), "text": text, "chat": map[string]any{"id": chat, "type": "private"}})
}

// telegramParams reads parameters from JSON, or from the query; of forms nothing
// is needed.
func telegramParams(r *http.Request) map[string]any {
	params := map[string]any{}
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
