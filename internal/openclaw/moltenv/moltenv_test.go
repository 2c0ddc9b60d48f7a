package moltenv

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// An error names the variable and never its value.
func TestVariableErrors(t *testing.T) {
	const secret = "hunter2-hunter2"
	for name, env := range map[string][]string{
		"TELEGRAM_DM_POLICY": {"TELEGRAM_BOT_TOKEN=1:x", "TELEGRAM_DM_POLICY=" + secret},
	} {
		_, err := Channels(env)
		var bad *VariableError
		if !errors.As(err, &bad) || bad.Name != name || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChannels(t *testing.T) {
	got, err := Channels([]string{
		"TELEGRAM_BOT_TOKEN=1:t", "TELEGRAM_DM_POLICY=open", "TELEGRAM_DM_ALLOW_FROM= 12 , ,34",
		"DISCORD_BOT_TOKEN=d", "SLACK_BOT_TOKEN=xoxb",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Channel{
		{Name: "telegram", Tokens: []Credential{{"botToken", "1:t"}}, Policy: "open", AllowFrom: []string{"12", "34"}, From: []string{"TELEGRAM_BOT_TOKEN", "TELEGRAM_DM_POLICY", "TELEGRAM_DM_ALLOW_FROM"}},
		{Name: "discord", Tokens: []Credential{{"token", "d"}}, From: []string{"DISCORD_BOT_TOKEN"}, Plugin: "@openclaw/discord"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Channels = %+v\nwant       %+v", got, want)
	}
}

func TestToken(t *testing.T) {
	if got := Token([]string{"CLAWDBOT_GATEWAY_TOKEN=old", "MOLTBOT_GATEWAY_TOKEN=new"}); got.Reveal() != "new" {
		t.Errorf("Token = %q", got.Reveal())
	}
	if got := Token([]string{"CLAWDBOT_GATEWAY_TOKEN=old", "MOLTBOT_GATEWAY_TOKEN= "}); got.Reveal() != "old" {
		t.Errorf("Token = %q", got.Reveal())
	}
}

func TestHints(t *testing.T) {
	for _, tt := range []struct {
		env  string
		want []string // parts of the hints, in order
	}{
		{"PATH=/bin", nil},
		{"CF_ACCOUNT_ID=shared", nil},
		{"CF_ACCOUNT_ID=x R2_ACCESS_KEY_ID=y", []string{"CF_ACCOUNT_ID is not read", "R2_ACCESS_KEY_ID is not read: set snapshots.store"}},
		{"CF_ACCESS_AUD=x SANDBOX_SLEEP_AFTER=10m", []string{"CF_ACCESS_AUD is not read: set auth.access", "SANDBOX_SLEEP_AFTER is not read"}},
		{"SLACK_APP_TOKEN=x", []string{"SLACK_APP_TOKEN has no effect without SLACK_BOT_TOKEN"}},
		{"AI_GATEWAY_BASE_URL=http://x", []string{"AI_GATEWAY_BASE_URL has no effect without AI_GATEWAY_API_KEY"}},
		{"CF_AI_GATEWAY_MODEL=openai/x CLOUDFLARE_AI_GATEWAY_API_KEY=k", []string{"has no effect without CF_AI_GATEWAY_ACCOUNT_ID", "has no effect without CF_AI_GATEWAY_GATEWAY_ID"}},
		{"TELEGRAM_DM_POLICY=open", []string{"TELEGRAM_DM_POLICY has no effect without TELEGRAM_BOT_TOKEN"}},
		{"TELEGRAM_BOT_TOKEN=1:x TELEGRAM_DM_POLICY=allowlist", []string{"TELEGRAM_DM_POLICY lets nobody write to telegram"}},
	} {
		got := Hints(strings.Fields(tt.env))
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v", tt.env, got)
			continue
		}
		for i, h := range got {
			if !strings.Contains(h.String(), tt.want[i]) {
				t.Errorf("%s: %v; want %q", tt.env, h, tt.want[i])
			}
		}
	}
}

// No secret shows in what is made of the variables.
func TestNoSecretShows(t *testing.T) {
	env := []string{"ANTHROPIC_API_KEY=topsecret", "TELEGRAM_BOT_TOKEN=topsecret", "R2_SECRET_ACCESS_KEY=topsecret", "SLACK_BOT_TOKEN=topsecret"}
	c, err := Channels(env)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %v", c, c, c, Hints(env)); strings.Contains(text, "topsecret") || len(c) != 1 {
		t.Errorf("a secret shows: %s", text)
	}
}

func TestParseDevVars(t *testing.T) {
	text := "\ufeff# mine\r\nA=1\n\nexport B = two words # a comment\nC=\"x # $A\\ny\" # c\nD='it''s'\n"
	if _, err := ParseDevVars([]byte(text)); err == nil {
		t.Error("no error for what stands after a quote")
	}
	text = strings.Replace(text, "'it''s'", "'{\n  \"k\": \"$v\"\n}'", 1) + "E=\nF=a=b#c\n"
	got, err := ParseDevVars([]byte(text))
	want := []string{"A=1", "B=two words", "C=x # $A\ny", "D={\n  \"k\": \"$v\"\n}", "E=", "F=a=b#c"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("ParseDevVars = %q, %v\nwant           %q", got, err, want)
	}
	for text, line := range map[string]int{"A=1\n\nfoo\n": 3, "A='x\ny'\nB=\"open\n": 3, "1A=x": 1, "=x": 1} {
		_, err := ParseDevVars([]byte(text))
		var bad *DevVarsError
		if !errors.As(err, &bad) || bad.Line != line || strings.Contains(err.Error(), "open") {
			t.Errorf("%q: %v; want line %d", text, err, line)
		}
	}
}
