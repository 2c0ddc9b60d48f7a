//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"creel/test/fake"
)

// TestVariantTelegram: a stranger writes to the bot, gets a code, is let in and gets
// an answer. The gateway is killed between two messages, then three more times
// within five minutes: each message is answered once, and the channel is on.
func TestVariantTelegram(t *testing.T) { variant(t, playTelegram) }

// pairingCode is a code of OpenClaw's for a stranger: eight characters, none of them
// ambiguous.
var pairingCode = regexp.MustCompile(`\b([A-HJ-NP-Z2-9]{8})\b`)

// anna is somebody on Telegram.
const anna = 4711

func playTelegram(t *testing.T, s *stage) {
	telegram := fake.NewTelegram(t)
	config := agentOn(s.llm)
	// All the rest is said by moltworker's variables; that Telegram is here is not.
	config["channels"] = object{"telegram": object{"apiRoot": telegram.URL()}}
	s.up(t, config, "TELEGRAM_BOT_TOKEN="+fake.TelegramToken, "TELEGRAM_DM_POLICY=pairing")
	m := &messenger{
		name: "telegram", app: telegram.App(anna),
		told: func() (texts []string) {
			for _, message := range telegram.Sent() {
				texts = append(texts, message.Text)
			}
			return texts
		},
		listens: telegram.PolledAfter,
	}
	s.playMessenger(t, m)
	if given, unconfirmed := telegram.Updates(); unconfirmed != 0 {
		t.Errorf("%d updates were never confirmed; they were given %v times", unconfirmed, given)
	} else {
		t.Logf("times that each update was given: %v", given)
	}
	if n := telegram.Conflicts(); n != 0 {
		t.Errorf("two bots have asked for updates at once, %d times", n)
	}
	s.end(t)
}

// messenger is a fake service with direct messages, and how a channel of OpenClaw's
// is seen from there.
type messenger struct {
	name    string          // of the channel
	app     string          // the address of a person's app
	forgets bool            // what is said while the bot is away
	told    func() []string // by the bot so far
	// listens waits until the bot listens that did not at a moment.
	listens func(context.Context, time.Time) (time.Time, error)
}

// answered counts the messages of the bot that have a text.
func (m *messenger) answered(text string) (n int) {
	for _, told := range m.told() {
		if strings.Contains(told, text) {
			n++
		}
	}
	return n
}

// playMessenger is what Telegram and Discord have in common.
func (s *stage) playMessenger(t *testing.T, m *messenger) {
	t.Helper()
	app := s.browser.open(t, m.app)
	s.shows(t, app)
	s.say(t, "A stranger writes to the bot, and gets a code")
	app.write(t, "input", "What is 847293 + 651824?")
	code := s.code(t, m)
	app.until(t, "the code is to be seen", shown(code))
	s.snap(t, app, "code")
	if n := m.answered("1499117"); n != 0 {
		t.Errorf("a stranger is answered, %d times", n)
	}

	s.types(t, "openclaw", "exec", "--", "pairing", "approve", m.name, code)
	app.write(t, "input", "What is 847293 + 651824?")
	app.until(t, "it is answered", shown("1499117"))
	s.snap(t, app, "answered")

	s.rests(t)
	s.say(t, "The gateway is killed between two messages")
	before, at := s.status(t), time.Now()
	s.kill(t)
	if m.forgets {
		s.awaits(t, m, at)
	}
	app.write(t, "input", "What is 111111 + 222222?")
	app.until(t, "it is answered after the recovery", shown("333333"))
	s.snap(t, app, "answered-later")
	s.until(t, bootLimit, "ready", func(now status) bool { return now.OK && now.Generation == before.Generation+1 })

	s.rests(t)
	const times = 4 // in all, within five minutes; OpenClaw leaves its channels off after three
	known, first := lastSeq(s.events(t)), time.Now()
	for n := 2; n <= times; n++ {
		s.say(t, "Kill %d of %d within five minutes", n, times)
		at = time.Now()
		t.Logf("ready again after %v", s.killed(t).Round(time.Millisecond))
	}
	if took := time.Since(first); took > 4*time.Minute {
		t.Errorf("the machine is too slow for this: the kills took %v", took)
	}
	s.awaits(t, m, at)
	s.say(t, "The channel is on again")
	app.write(t, "input", "What is 1000 + 234?")
	app.until(t, "it is answered after four kills", shown("1234"))
	s.snap(t, app, "answered-after-kills")
	s.wantChannelsOn(t, known)

	// Whatever was sent twice would have come by now, or comes with the answer to
	// one more.
	app.write(t, "input", "What is 5000 + 678?")
	app.until(t, "one more is answered", shown("5678"))
	for _, answer := range []string{"1499117", "333333", "1234", "5678"} {
		if n := m.answered(answer); n != 1 {
			t.Errorf("%s was answered %d times: %q", answer, n, m.told())
		}
	}
}

// awaits waits until the bot of an instance that was started since listens.
func (s *stage) awaits(t *testing.T, m *messenger, since time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	// What the killed one had asked for last is over by then.
	if _, err := m.listens(ctx, since.Add(time.Second)); err != nil {
		t.Fatalf("the channel stays off: %v", err)
	}
}

// code waits for the code that a stranger gets.
func (s *stage) code(t *testing.T, m *messenger) (code string) {
	t.Helper()
	eventually(t, bootLimit, "the bot sends a code", func() (bool, string) {
		for _, told := range m.told() {
			if found := pairingCode.FindStringSubmatch(told); found != nil {
				code = found[1]
				return true, ""
			}
		}
		return false, fmt.Sprintf("%q", m.told())
	})
	return code
}

// wantChannelsOn checks that OpenClaw has left its channels off since, that creel has
// turned them on, and how long that took.
func (s *stage) wantChannelsOn(t *testing.T, since uint64) {
	t.Helper()
	var ready time.Time
	on := 0
	for _, e := range s.events(t) {
		switch {
		case e.Seq <= since:
		case e.Kind == "ready":
			ready = e.Time
		case e.Kind == "channels_on":
			on++
			t.Logf("channels on %v after ready (bar: 5 s)", e.Time.Sub(ready).Round(time.Millisecond))
		}
	}
	if on == 0 {
		t.Error("OpenClaw has never left its channels off: that shows nothing")
	}
}
