package fake

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// The bot that Discord knows. A token begins with the bot's id.
const discordBot = "700000000000000001"

// DiscordToken is the bot's token; it is nobody's.
var DiscordToken = base64.RawURLEncoding.EncodeToString([]byte(discordBot)) + ".FAKE.creel-test-token"

// discordChannels is what is added to a user's id for that of their direct channel.
const discordChannels = 1_000_000

// Discord is Discord's REST API and its gateway with one bot, and the app of the
// people who talk to it as a page. As the real one it tells the bot what is said
// while the bot is there, and nothing later: a session that was lost with its
// connection is not resumed.
type Discord struct {
	server *httptest.Server
	talk   *talk

	mu       sync.Mutex
	sessions []*discordSession // of the bot, that have identified themselves
	greeted  []time.Time       // when they did, those that have ended too
	most     int               // sessions at once
	last     int64             // id given
	unknown  []string          // requests that nobody has thought of
	changed  chan struct{}     // closed with each session that begins
}

// DiscordMessage is one that the bot has sent, as it stands after edits.
type DiscordMessage struct {
	User int64
	Text string
}

// NewDiscord starts one that ends with the test.
func NewDiscord(t testing.TB) *Discord {
	f := &Discord{talk: newTalk(), changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc(discordAPI, f.rest)
	mux.HandleFunc("/", f.gateway)
	mux.Handle(appPath, (&app{"Discord", f.talk, func(user int64, text string) { f.Say(user, text) }}).handler())
	var requests sync.WaitGroup
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		defer requests.Done()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		f.mu.Lock()
		for _, s := range f.sessions {
			s.stop()
		}
		f.mu.Unlock()
		f.server.CloseClientConnections()
		f.server.Close()
		requests.Wait() // the server does not wait for connections that were taken over
	})
	return f
}

const discordAPI = "/api/v10/"

// URL is its address, for DISCORD_API_URL.
func (f *Discord) URL() string { return f.server.URL + strings.TrimSuffix(discordAPI, "/") }

// App is the address of a user's app.
func (f *Discord) App(user int64) string {
	return f.server.URL + appPath + strconv.FormatInt(user, 10)
}

// Say has a user send the bot a direct message, and tells how many sessions of the
// bot have heard it.
func (f *Discord) Say(user int64, text string) (heard int) {
	f.mu.Lock()
	id := f.snowflake()
	sessions := slices.Clone(f.sessions)
	f.mu.Unlock()
	f.talk.add(line{id: id, chat: user, text: text})
	for _, s := range sessions {
		if s.dispatch("MESSAGE_CREATE", f.message(id, user, discordPerson(user), text)) {
			heard++
		}
	}
	return heard
}

// Sent gives what the bot has sent so far.
func (f *Discord) Sent() []DiscordMessage {
	var list []DiscordMessage
	for _, l := range f.talk.byBot() {
		list = append(list, DiscordMessage{l.chat, l.text})
	}
	return list
}

// Sessions tells how many sessions of the bot there were at once, at most.
func (f *Discord) Sessions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// Unknown gives the requests that were answered with 404 since nobody has thought
// of them.
func (f *Discord) Unknown() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.unknown)
}

// OnlineAfter waits until the bot has begun a session after a moment, and says when.
func (f *Discord) OnlineAfter(ctx context.Context, moment time.Time) (time.Time, error) {
	return firstAfter(ctx, moment, func() ([]time.Time, <-chan struct{}) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Clone(f.greeted), f.changed
	})
}

// snowflake gives an id, as Discord does: the time, and a number where two are of
// the same millisecond. The caller has the lock.
func (f *Discord) snowflake() int64 {
	const epoch = 1420070400000
	f.last = max(f.last+1, (time.Now().UnixMilli()-epoch)<<22)
	return f.last
}

func (f *Discord) message(id, user int64, author object, text string) object {
	return object{
		"id": strconv.FormatInt(id, 10), "channel_id": strconv.FormatInt(user+discordChannels, 10), "type": 0,
		"author": author, "content": text, "timestamp": time.Now().UTC().Format(time.RFC3339Nano), "edited_timestamp": nil,
		"tts": false, "mention_everyone": false, "pinned": false,
		"mentions": []any{}, "mention_roles": []any{}, "attachments": []any{}, "embeds": []any{},
	}
}

func discordPerson(user int64) object {
	return object{"id": strconv.FormatInt(user, 10), "username": "anna", "global_name": "Anna", "discriminator": "0", "avatar": nil, "bot": false}
}

func discordSelf() object {
	return object{"id": discordBot, "username": "creel", "global_name": "Creel", "discriminator": "0", "avatar": nil, "bot": true}
}

type object = map[string]any

// rest answers a call of the REST API.
func (f *Discord) rest(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bot "+DiscordToken {
		f.refuse(w, http.StatusUnauthorized, "401: Unauthorized")
		return
	}
	path := strings.Split(strings.TrimPrefix(r.URL.Path, discordAPI), "/")
	call := r.Method + " " + path[0]
	switch {
	case r.Method == http.MethodGet && r.URL.Path == discordAPI+"gateway/bot":
		writeJSON(w, object{"url": "ws" + strings.TrimPrefix(f.server.URL, "http") + "/", "shards": 1,
			"session_start_limit": object{"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}})
	case r.Method == http.MethodGet && r.URL.Path == discordAPI+"users/@me":
		writeJSON(w, discordSelf())
	case r.Method == http.MethodGet && r.URL.Path == discordAPI+"users/@me/guilds":
		writeJSON(w, []any{})
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, discordAPI+"oauth2/applications/"), call == "GET applications" && len(path) == 2:
		// Flags: the intent to read messages is granted.
		writeJSON(w, object{"id": discordBot, "name": "Creel", "flags": 1 << 19, "bot": discordSelf()})
	case path[0] == "applications": // its commands
		f.commands(w, r)
	case r.Method == http.MethodPost && r.URL.Path == discordAPI+"users/@me/channels":
		var body struct {
			Recipient string `json:"recipient_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			f.refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		user, err := strconv.ParseInt(body.Recipient, 10, 64)
		if err != nil {
			f.refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		writeJSON(w, discordChannel(user))
	case path[0] == "channels" && len(path) >= 2:
		f.channel(w, r, path[1], path[2:])
	default:
		f.notFound(w, r)
	}
}

// commands takes the bot's commands and gives them back.
func (f *Discord) commands(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, []any{})
	case http.MethodPut:
		var list []object
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			f.refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		writeJSON(w, f.numbered(list))
	case http.MethodPost, http.MethodPatch:
		var one object
		if err := json.NewDecoder(r.Body).Decode(&one); err != nil {
			f.refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		writeJSON(w, f.numbered([]object{one})[0])
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// numbered gives commands their ids.
func (f *Discord) numbered(list []object) []object {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, command := range list {
		command["id"], command["application_id"] = strconv.FormatInt(f.snowflake(), 10), discordBot
	}
	return list
}

func discordChannel(user int64) object {
	return object{"id": strconv.FormatInt(user+discordChannels, 10), "type": 1, "last_message_id": nil, "recipients": []any{discordPerson(user)}}
}

// channel answers what is asked of a direct channel.
func (f *Discord) channel(w http.ResponseWriter, r *http.Request, id string, rest []string) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		f.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	user := number - discordChannels
	switch {
	case len(rest) == 0 && r.Method == http.MethodGet:
		writeJSON(w, discordChannel(user))
	case rest[0] == "typing", len(rest) > 2: // reactions
		w.WriteHeader(http.StatusNoContent)
	case rest[0] != "messages":
		f.notFound(w, r)
	case len(rest) == 1 && r.Method == http.MethodPost:
		text, err := discordText(r)
		if err != nil {
			f.refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		f.mu.Lock()
		id := f.snowflake()
		f.mu.Unlock()
		f.talk.add(line{id: id, chat: user, bot: true, text: text})
		writeJSON(w, f.message(id, user, discordSelf(), text))
	case len(rest) == 1:
		writeJSON(w, []any{}) // earlier messages
	default:
		f.one(w, r, user, rest[1])
	}
}

// one changes a message, or takes it back.
func (f *Discord) one(w http.ResponseWriter, r *http.Request, user int64, message string) {
	id, err := strconv.ParseInt(message, 10, 64)
	if err != nil {
		f.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	found := false
	switch r.Method {
	case http.MethodPatch:
		text, err := discordText(r)
		if err != nil {
			f.refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		if found = f.talk.edit(id, text); found {
			writeJSON(w, f.message(id, user, discordSelf(), text))
		}
	case http.MethodDelete:
		if found = f.talk.remove(id); found {
			w.WriteHeader(http.StatusNoContent)
		}
	}
	if !found {
		f.refuse(w, http.StatusNotFound, "Unknown Message")
	}
}

// discordText gives the text of a message, which comes as JSON, or as a part of a
// form with files.
func discordText(r *http.Request) (string, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	body := io.Reader(r.Body)
	if kind == "multipart/form-data" {
		form := multipart.NewReader(r.Body, params["boundary"])
		for {
			part, err := form.NextPart()
			if err != nil {
				return "", err
			}
			if part.FormName() == "payload_json" {
				body = part
				break
			}
		}
	}
	var message struct{ Content string }
	return message.Content, decode(body, &message)
}

func decode(body io.Reader, into any) error { return json.NewDecoder(body).Decode(into) }

func (f *Discord) notFound(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.unknown = append(f.unknown, r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	f.refuse(w, http.StatusNotFound, "404: Not Found")
}

func (f *Discord) refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, object{"message": message, "code": 0})
}

// discordSession is a connection of the bot to the gateway.
type discordSession struct {
	conn *websocket.Conn
	ctx  context.Context
	stop context.CancelFunc

	mu  sync.Mutex // of what is written: events are numbered in the order in which they go out
	seq int
}

// The opcodes of the gateway that are spoken here.
const (
	discordDispatch  = 0
	discordHeartbeat = 1
	discordIdentify  = 2
	discordResume    = 6
	discordInvalid   = 9
	discordHello     = 10
	discordAck       = 11
)

// discordAuthenticationFailed is the gateway's close code for a wrong token.
const discordAuthenticationFailed = 4004

// gateway is the WebSocket over which the bot hears what is said.
func (f *Discord) gateway(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has told the client
	}
	conn.SetReadLimit(1 << 20)
	ctx, stop := context.WithCancel(context.Background())
	s := &discordSession{conn: conn, ctx: ctx, stop: stop}
	defer func() {
		stop()
		f.leave(s)
		_ = conn.CloseNow() // it is closed by then, or its client is gone
	}()
	if !s.write(object{"op": discordHello, "d": object{"heartbeat_interval": 41250}, "s": nil, "t": nil}) {
		return
	}
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			Op int
			D  json.RawMessage
		}
		if json.Unmarshal(b, &m) != nil {
			return
		}
		switch m.Op {
		case discordHeartbeat:
			s.write(object{"op": discordAck, "d": nil, "s": nil, "t": nil})
		case discordResume:
			s.write(object{"op": discordInvalid, "d": false, "s": nil, "t": nil})
		case discordIdentify:
			var d struct{ Token string }
			if json.Unmarshal(m.D, &d) != nil || d.Token != DiscordToken {
				_ = conn.Close(discordAuthenticationFailed, "Authentication failed.") // it goes either way
				return
			}
			f.greet(s)
		}
	}
}

// greet begins a session.
func (f *Discord) greet(s *discordSession) {
	if !s.dispatch("READY", object{
		"v": 10, "user": discordSelf(), "guilds": []any{}, "session_id": "fake", "shard": []int{0, 1},
		"resume_gateway_url": "ws" + strings.TrimPrefix(f.server.URL, "http") + "/", "application": object{"id": discordBot, "flags": 1 << 19},
	}) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = append(f.sessions, s)
	f.most = max(f.most, len(f.sessions))
	f.greeted = append(f.greeted, time.Now())
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Discord) leave(s *discordSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = slices.DeleteFunc(f.sessions, func(other *discordSession) bool { return other == s })
}

// dispatch tells the bot of an event.
func (s *discordSession) dispatch(event string, data object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	return s.send(object{"op": discordDispatch, "t": event, "s": s.seq, "d": data})
}

func (s *discordSession) write(m object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send(m)
}

// send writes a message; the caller has the lock. false: the bot is gone.
func (s *discordSession) send(m object) bool {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // what is made here always marshals
	}
	return s.conn.Write(s.ctx, websocket.MessageText, b) == nil
}
