package openclaw

import (
	"strings"
	"testing"

	"creel/internal/openclaw/moltenv"
	"creel/internal/telemetry"
)

// moltworker is what these variables put into the configuration.
func moltworker(t *testing.T, environ ...string) []Setting {
	t.Helper()
	channels, err := moltenv.Channels(environ)
	if err != nil {
		t.Fatal(err)
	}
	return ChannelSettings(channels)
}

// The users that were paired, and all else that a person has put into a channel's
// object, stay: moltworker replaced the object and locked them out.
func TestChannelIsMerged(t *testing.T) {
	l := newLayout(t)
	env := []string{"TELEGRAM_BOT_TOKEN=1:env", "TELEGRAM_DM_POLICY=open", "TELEGRAM_DM_ALLOW_FROM=7,8"}
	step := func(want string, environ ...string) {
		t.Helper()
		if got := at(configured(t, l, moltworker(t, environ...)...), "channels", "telegram"); got != want {
			t.Errorf("telegram is %s\nwant        %s", got, want)
		}
	}
	step(`{"allowFrom":["*","7","8"],"botToken":"1:env","dmPolicy":"open","enabled":true}`, env...)
	before := getConfig(t, l)
	step(`{"allowFrom":["*","7","8"],"botToken":"1:env","dmPolicy":"open","enabled":true}`, env...)
	if getConfig(t, l) != before {
		t.Error("the file was changed though nothing was")
	}
	// In the Control UI somebody is let in, and the channel closed to others.
	putConfig(t, l, strings.NewReplacer(`["*", "7", "8"]`, `["*", "7", "8", "99"]`, `"dmPolicy": "open"`, `"dmPolicy": "allowlist"`).Replace(before))
	step(`{"allowFrom":["7","8","99"],"botToken":"1:env","dmPolicy":"allowlist","enabled":true}`, env...)
	// The bot is another one now, and 8 is not allowed by creel any more.
	step(`{"allowFrom":["7","99"],"botToken":"2:env","dmPolicy":"allowlist","enabled":true}`, "TELEGRAM_BOT_TOKEN=2:env", "TELEGRAM_DM_ALLOW_FROM=7")
	// Without the variables what a person has said is all that is left.
	step(`{"allowFrom":["99"],"dmPolicy":"allowlist"}`)
}

func TestChannelOfAPersonStays(t *testing.T) {
	l := newLayout(t)
	putConfig(t, l, `{"channels":{"telegram":{"enabled":false,"botToken":"mine","dmPolicy":"pairing","allowFrom":[5],"apiRoot":"http://x"},"discord":{"token":"t","dm":{"policy":"open"}}}}`)
	m := configured(t, l, moltworker(t, "TELEGRAM_BOT_TOKEN=1:env", "TELEGRAM_DM_POLICY=open", "DISCORD_BOT_TOKEN=d", "SLACK_BOT_TOKEN=b", "SLACK_APP_TOKEN=a")...)
	if got := at(m, "channels"); got != `{"discord":{"dm":{"policy":"open"},"enabled":true,"token":"t"},"slack":{"appToken":"a","botToken":"b","enabled":true},"telegram":{"allowFrom":[5],"apiRoot":"http://x","botToken":"mine","dmPolicy":"pairing","enabled":false}}` {
		t.Errorf("channels are %s", got)
	}
}

func TestLock(t *testing.T) {
	l := newLayout(t)
	putConfig(t, l, `{"channels":{"telegram":{"botToken":"mine","dmPolicy":"pairing"}}}`)
	settings := Lock(moltworker(t, "TELEGRAM_BOT_TOKEN=1:env", "TELEGRAM_DM_POLICY=disabled"), []string{"channels.telegram.botToken", "channels.tele"})
	if got := at(configured(t, l, settings...), "channels", "telegram"); got != `{"botToken":"1:env","dmPolicy":"pairing","enabled":true}` {
		t.Errorf("telegram is %s", got)
	}
}

// A token that is given takes the place of one that creel has made or was given
// before, and of no other.
func TestGivenToken(t *testing.T) {
	l := newLayout(t)
	mode := Default
	step := func(given, want string) {
		t.Helper()
		s := testSettings
		s.Token, s.TokenMode = telemetry.Secret(given), mode
		c, err := Configure(l, s)
		if err != nil || want != "" && c.Token.Reveal() != want {
			t.Errorf("given %q the token is %q, %v; want %q", given, c.Token.Reveal(), err, want)
		}
		if kept, err := ReadToken(l); err != nil || kept != c.Token {
			t.Errorf("the kept token is %q, %v", kept.Reveal(), err)
		}
	}
	step("", "")
	step("given-1", "given-1")
	step("given-2", "given-2")
	step("", "given-2")
	step("given-3", "given-3")
	putConfig(t, l, strings.Replace(getConfig(t, l), "given-3", "a-person's", 1))
	step("given-4", "a-person's")
	step("", "a-person's")
	mode = Own // locked
	step("given-5", "given-5")
	mode = Default
	step("given-6", "given-6")
}
