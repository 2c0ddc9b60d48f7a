package fake

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// discordMessage is what the gateway says.
type discordMessage struct {
	Op int
	T  string
	S  int
	D  struct {
		Interval  int `json:"heartbeat_interval"`
		Content   string
		ChannelID string `json:"channel_id"`
		GuildID   string `json:"guild_id"`
		Author    struct {
			ID  string
			Bot bool
		}
		User struct{ ID string }
	}
}

// connect begins a connection to the gateway that ends with the test, as a bot does.
func (f *Discord) connect(t *testing.T, token string) *websocket.Conn {
	t.Helper()
	var info struct{ URL string }
	if err := json.Unmarshal([]byte(f.call(t, http.MethodGet, "/gateway/bot", "", http.StatusOK)), &info); err != nil {
		t.Fatal(err)
	}
	conn, _, err := websocket.Dial(t.Context(), info.URL+"?v=10&encoding=json", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() }) // it may have ended
	if hello := hear(t, conn); hello.Op != discordHello || hello.D.Interval == 0 {
		t.Fatalf("the gateway begins with %+v", hello)
	}
	tell(t, conn, `{"op":2,"d":{"token":"`+token+`","intents":0}}`)
	return conn
}

func hear(t *testing.T, conn *websocket.Conn) (m discordMessage) {
	t.Helper()
	_, b, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(b, &m) != nil && m.Op != discordInvalid {
		t.Fatalf("the gateway says %s", b)
	}
	return m
}

func tell(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// call calls the REST API as the bot.
func (f *Discord) call(t *testing.T, method, path, body string, want int) string {
	t.Helper()
	r, err := http.NewRequest(method, f.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bot "+DiscordToken)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("%s %s: %d %s, %v", method, path, answer.StatusCode, b, err)
	}
	return string(b)
}

// TestDiscordHears: the bot hears what is said while it is there, once; what was
// said before it came is lost.
func TestDiscordHears(t *testing.T) {
	f := NewDiscord(t)
	if heard := f.Say(7, "Too early"); heard != 0 {
		t.Errorf("heard by %d sessions though there is none", heard)
	}
	conn := f.connect(t, DiscordToken)
	if ready := hear(t, conn); ready.Op != discordDispatch || ready.T != "READY" || ready.S != 1 || ready.D.User.ID != discordBot {
		t.Fatalf("after it has identified itself: %+v", ready)
	}
	if _, err := f.OnlineAfter(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	tell(t, conn, `{"op":1,"d":1}`)
	if ack := hear(t, conn); ack.Op != discordAck {
		t.Errorf("a heartbeat is answered with %+v", ack)
	}
	if heard := f.Say(7, "Hello"); heard != 1 {
		t.Errorf("heard by %d sessions", heard)
	}
	if m := hear(t, conn); m.T != "MESSAGE_CREATE" || m.S != 2 || m.D.Content != "Hello" || m.D.Author.ID != "7" || m.D.Author.Bot || m.D.GuildID != "" {
		t.Errorf("it hears %+v", m)
	}
	tell(t, conn, `{"op":6,"d":{"session_id":"fake","seq":2}}`)
	if m := hear(t, conn); m.Op != discordInvalid {
		t.Errorf("a session is resumed: %+v", m)
	}
	first := time.Now()
	f.connect(t, DiscordToken)
	if _, err := f.OnlineAfter(t.Context(), first); err != nil || f.Sessions() != 2 {
		t.Errorf("%d sessions at once, %v", f.Sessions(), err)
	}
}

// TestDiscordToken: nobody else is let in.
func TestDiscordToken(t *testing.T) {
	f := NewDiscord(t)
	conn := f.connect(t, "other")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != discordAuthenticationFailed {
		t.Errorf("the connection ended with %v", err)
	}
	r, err := http.Get(f.URL() + "/users/@me")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", r.StatusCode)
	}
}

// TestDiscordMessages: what was sent is as it stands after edits.
func TestDiscordMessages(t *testing.T) {
	f := NewDiscord(t)
	var channel, message struct{ ID string }
	if err := json.Unmarshal([]byte(f.call(t, http.MethodPost, "/users/@me/channels", `{"recipient_id":"7"}`, http.StatusOK)), &channel); err != nil {
		t.Fatal(err)
	}
	path := "/channels/" + channel.ID
	if got := f.call(t, http.MethodGet, path, "", http.StatusOK); !strings.Contains(got, `"type":1`) {
		t.Errorf("the channel is none for direct messages: %s", got)
	}
	f.call(t, http.MethodPost, path+"/typing", "", http.StatusNoContent)
	if err := json.Unmarshal([]byte(f.call(t, http.MethodPost, path+"/messages", `{"content":"4"}`, http.StatusOK)), &message); err != nil {
		t.Fatal(err)
	}
	f.call(t, http.MethodPatch, path+"/messages/"+message.ID, `{"content":"42"}`, http.StatusOK)
	if list := f.Sent(); len(list) != 1 || list[0] != (DiscordMessage{7, "42"}) {
		t.Errorf("sent: %+v", list)
	}
	f.call(t, http.MethodDelete, path+"/messages/"+message.ID, "", http.StatusNoContent)
	f.call(t, http.MethodDelete, path+"/messages/"+message.ID, "", http.StatusNotFound)
	if list := f.Sent(); len(list) != 0 {
		t.Errorf("sent: %+v", list)
	}
	if got := f.call(t, http.MethodPut, "/applications/"+discordBot+"/commands", `[{"name":"new"}]`, http.StatusOK); !strings.Contains(got, `"name":"new"`) || !strings.Contains(got, `"id":`) {
		t.Errorf("the commands are %s", got)
	}
	f.call(t, http.MethodGet, "/guilds/1", "", http.StatusNotFound)
	if got := f.Unknown(); len(got) != 1 || got[0] != "GET /api/v10/guilds/1" {
		t.Errorf("requests that nobody knows: %q", got)
	}
}
