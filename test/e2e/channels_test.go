//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"creel/test/fake"
)

// How often TestChannelsAfterKills kills. From the third kill on OpenClaw leaves its
// channels off, so four show what creel does; that it does so each time is shown by
//
//	go test -tags e2e ./test/e2e -run TestChannelsAfterKills -v -kills 10
var kills = flag.Int("kills", 4, "how often the gateway of TestChannelsAfterKills is killed")

// TestChannelsAfterKills kills the gateway several times in a row. From the fourth
// boot on OpenClaw comes up with its channels off; each time they are on again,
// the bot answers, and the journal says what was done.
func TestChannelsAfterKills(t *testing.T) {
	f, c, telegram, _ := upInWorld(t)
	first := time.Now()
	var longest time.Duration
	suppressed := 0
	for n := 1; n <= *kills; n++ {
		before, known := f.status(t), lastSeq(f.events(t))
		f.wantReady(t) // an instance that has answered is no fruitless one
		killed := time.Now()
		if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		f.until(t, bootLimit, "ready again", func(s status) bool { return s.OK && s.Generation == before.Generation+1 })
		var ready time.Time
		eventually(t, momentLimit, "the journal says that it is ready", func() (bool, string) {
			for _, e := range f.events(t) {
				if e.Seq > known && e.Kind == "ready" {
					ready = e.Time
				}
			}
			return !ready.IsZero(), ""
		})
		ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
		on, err := telegram.PolledAfter(ctx, killed.Add(time.Second)) // what the killed one had asked for last is over by then
		cancel()
		if err != nil {
			t.Fatalf("after %d kills the channel stays off: %v", n, err)
		}
		after := max(0, on.Sub(ready))
		longest = max(longest, after)
		by := "OpenClaw"
		for _, e := range f.events(t) {
			if e.Seq > known && e.Kind == "channels_on" {
				suppressed++
				by = fmt.Sprintf("creel, %v after ready", e.Time.Sub(ready).Round(time.Millisecond))
			}
		}
		t.Logf("kill %d, %v after the first: ready after %v, channel on %v after that; started by %s",
			n, killed.Sub(first).Round(time.Second), ready.Sub(killed).Round(10*time.Millisecond), after.Round(time.Millisecond), by)
	}
	t.Logf("longest time from ready to channel on: %v (bar: 5 s)", longest)
	if suppressed == 0 {
		t.Error("OpenClaw has never left its channels off: that shows nothing")
	}
	telegram.Say(4711, "How is it?")
	eventually(t, bootLimit, "the bot answers", func() (bool, string) {
		for _, m := range telegram.Sent() {
			if m.Chat == 4711 && strings.Contains(m.Text, "All is well.") {
				return true, ""
			}
		}
		return false, toJSON(t, telegram.Sent())
	})
	f.end(t, c)
}

// upInWorld is a creel whose gateway has a Telegram bot and a model, both local.
func upInWorld(t *testing.T) (*folder, *creel, *fake.Telegram, *fake.LLM) {
	t.Helper()
	f, telegram, llm := newWorld(t)
	c := f.up(t)
	c.link(t)
	return f, c, telegram, llm
}

// newWorld is upInWorld before creel is started.
func newWorld(t *testing.T) (*folder, *fake.Telegram, *fake.LLM) {
	t.Helper()
	f, telegram, llm := newFolder(t), fake.NewTelegram(t), fake.NewLLM(t)
	if err := os.MkdirAll(filepath.Dir(f.config()), 0o700); err != nil {
		t.Fatal(err)
	}
	f.configure(t, worldConfig(t, telegram, llm))
	return f, telegram, llm
}

// worldConfig is a configuration with a Telegram bot and a model, both local.
func worldConfig(t *testing.T, telegram *fake.Telegram, llm *fake.LLM) string {
	t.Helper()
	type object = map[string]any
	return toJSON(t, object{
		"channels": object{"telegram": object{"enabled": true, "botToken": fake.TelegramToken, "apiRoot": telegram.URL(), "dmPolicy": "open", "allowFrom": []string{"*"}}},
		"models": object{"mode": "merge", "providers": object{"fake": object{
			"baseUrl": llm.URL(), "apiKey": "sk-fake", "api": "openai-completions",
			"models": []object{{"id": "fake-1", "name": "Fake", "reasoning": false, "input": []string{"text"}, "contextWindow": 128000, "maxTokens": 4096}},
		}}},
		"agents": object{"defaults": object{"model": object{"primary": "fake/fake-1"}, "skipBootstrap": true}},
	})
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
