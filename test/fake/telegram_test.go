package fake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// post calls with a body in JSON, and gives what comes back.
func post(t *testing.T, url string, body any) (status int, answer string) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(url, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err = io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// bot calls a method of the Bot API that has to succeed.
func (f *Telegram) bot(t *testing.T, method string, params object) string {
	t.Helper()
	status, answer := post(t, f.URL()+"/bot"+TelegramToken+"/"+method, params)
	if status != http.StatusOK || !strings.Contains(answer, `"ok":true`) {
		t.Fatalf("%s: %d %s", method, status, answer)
	}
	return answer
}

// TestTelegramUpdates: an update is given again until it was confirmed, and a
// client that waits gets it at once.
func TestTelegramUpdates(t *testing.T) {
	f := NewTelegram(t)
	waited := make(chan string, 1)
	go func() { waited <- f.bot(t, "getUpdates", object{"offset": 0}) }()
	if _, err := f.PolledAfter(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	update := f.Say(7, "What is it?")
	if got := <-waited; !strings.Contains(got, "What is it?") {
		t.Fatalf("the client that waited got %s", got)
	}
	f.bot(t, "getUpdates", object{"offset": update})
	if given, unconfirmed := f.Updates(); given[update] != 2 || unconfirmed != 1 {
		t.Errorf("given %v, %d are not confirmed", given, unconfirmed)
	}
	next := f.Say(7, "And now?")
	if got := f.bot(t, "getUpdates", object{"offset": update + 1}); strings.Contains(got, "What is it?") || !strings.Contains(got, "And now?") {
		t.Errorf("after the first one was confirmed: %s", got)
	}
	if given, unconfirmed := f.Updates(); given[next] != 1 || unconfirmed != 1 {
		t.Errorf("given %v, %d are not confirmed", given, unconfirmed)
	}
}

// TestTelegramConflict: of two clients that ask at once the first one is turned away.
func TestTelegramConflict(t *testing.T) {
	f := NewTelegram(t)
	url := f.URL() + "/bot" + TelegramToken + "/getUpdates"
	first := make(chan string, 1)

	go func() {
		status, answer := post(t, url, object{})
		first <- fmt.Sprint(status, answer)
	}()
	if _, err := f.PolledAfter(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	second := make(chan string, 1)
	go func() {
		status, answer := post(t, url, object{})
		second <- fmt.Sprint(status, answer)
	}()
	if got := <-first; !strings.HasPrefix(got, "409") || !strings.Contains(got, "terminated by other getUpdates request") {
		t.Errorf("the first client got %s", got)
	}
	f.Say(7, "To the second one.")
	if got := <-second; !strings.HasPrefix(got, "200") || !strings.Contains(got, "To the second one.") {
		t.Errorf("the second client got %s", got)
	}
	if f.Conflicts() != 1 {
		t.Errorf("%d conflicts", f.Conflicts())
	}
}

// TestTelegramMessages: what was sent is as it stands after edits, without mark-up.
func TestTelegramMessages(t *testing.T) {
	f := NewTelegram(t)
	answer := f.bot(t, "sendMessage", object{"chat_id": "7", "text": "<b>4</b> &amp;", "parse_mode": "HTML"})
	var sent struct {
		Result struct {
			ID int64 `json:"message_id"`
		}
	}
	if err := json.Unmarshal([]byte(answer), &sent); err != nil {
		t.Fatal(err)
	}
	if list := f.Sent(); len(list) != 1 || list[0].Chat != 7 || list[0].Text != "4 &" {
		t.Errorf("sent: %+v", list)
	}
	f.bot(t, "editMessageText", object{"chat_id": 7, "message_id": sent.Result.ID, "text": "42"})
	if list := f.Sent(); len(list) != 1 || list[0].Text != "42" {
		t.Errorf("sent: %+v", list)
	}
	f.bot(t, "deleteMessage", object{"chat_id": 7, "message_id": sent.Result.ID})
	if list := f.Sent(); len(list) != 0 {
		t.Errorf("sent: %+v", list)
	}
	if status, answer := post(t, f.URL()+"/bot"+TelegramToken+"/editMessageText", object{"message_id": 1, "text": "?"}); status != http.StatusBadRequest {
		t.Errorf("an edit of nothing: %d %s", status, answer)
	}
	if status, answer := post(t, f.URL()+"/bot1:other/getMe", object{}); status != http.StatusUnauthorized {
		t.Errorf("another token: %d %s", status, answer)
	}
}

// TestApp: a person's app shows what was said to them and by them, and says more.
func TestApp(t *testing.T) {
	f := NewTelegram(t)
	f.bot(t, "sendMessage", object{"chat_id": 8, "text": "To somebody else"})
	f.bot(t, "sendMessage", object{"chat_id": 7, "text": "Hello"})
	if status, _ := post(t, f.App(7)+"/say", object{"text": "Good day"}); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
	if got := f.bot(t, "getUpdates", object{}); !strings.Contains(got, "Good day") {
		t.Errorf("the bot gets %s", got)
	}
	get := func(path string) string {
		r, err := http.Get(f.App(7) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, r.StatusCode, err)
		}
		return string(b)
	}
	var said struct {
		Version int
		Lines   []struct {
			Bot  bool
			Text string
		}
	}
	if err := json.Unmarshal([]byte(get("/lines?since=0")), &said); err != nil {
		t.Fatal(err)
	}
	if len(said.Lines) != 2 || said.Lines[0].Text != "Hello" || !said.Lines[0].Bot || said.Lines[1].Text != "Good day" || said.Lines[1].Bot {
		t.Errorf("the app shows %+v", said.Lines)
	}
	later := make(chan string, 1)
	go func() { later <- get(fmt.Sprintf("/lines?since=%d", said.Version)) }()
	f.bot(t, "sendMessage", object{"chat_id": 7, "text": "How are you?"})
	if got := <-later; !strings.Contains(got, "How are you?") {
		t.Errorf("the app that waited got %s", got)
	}
	if page := get(""); !strings.Contains(page, "Telegram") || !strings.Contains(page, `"/app/7"`) {
		t.Errorf("the page: %s", page)
	}
}
