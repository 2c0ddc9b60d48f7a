package moltenv

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestProviders(t *testing.T) {
	cf := []string{"CLOUDFLARE_AI_GATEWAY_API_KEY=k-cf", "CF_AI_GATEWAY_ACCOUNT_ID=acct", "CF_AI_GATEWAY_GATEWAY_ID=gw"}
	model := func(id string) []Model {
		return []Model{{ID: id, Name: id, ContextWindow: 131072, MaxTokens: 8192}}
	}
	tests := map[string]struct {
		env  []string
		want []ProviderSpec // without From
	}{
		"none": {env: []string{"PATH=/bin", "ANTHROPIC_API_KEY="}},
		"workers-ai": {append(cf, "CF_AI_GATEWAY_MODEL=workers-ai/@cf/openai/gpt-oss-120b"), []ProviderSpec{{
			Name: "cf-ai-gw-workers-ai", BaseURL: "https://gateway.ai.cloudflare.com/v1/acct/gw/workers-ai/v1", API: OpenAICompletions, Key: "k-cf",
			Models: model("@cf/openai/gpt-oss-120b"), Default: "cf-ai-gw-workers-ai/@cf/openai/gpt-oss-120b"}}},
		"anthropic by Cloudflare": {append(cf, "CF_AI_GATEWAY_MODEL=anthropic/claude-sonnet-4-5"), []ProviderSpec{{
			Name: "cf-ai-gw-anthropic", BaseURL: "https://gateway.ai.cloudflare.com/v1/acct/gw/anthropic", API: AnthropicMessages, Key: "k-cf",
			Models: model("claude-sonnet-4-5"), Default: "cf-ai-gw-anthropic/claude-sonnet-4-5"}}},
		"OpenAI by Cloudflare": {append(cf, "CF_AI_GATEWAY_MODEL=openai/gpt-4o"), []ProviderSpec{{
			Name: "cf-ai-gw-openai", BaseURL: "https://gateway.ai.cloudflare.com/v1/acct/gw/openai", API: OpenAICompletions, Key: "k-cf",
			Models: model("gpt-4o"), Default: "cf-ai-gw-openai/gpt-4o"}}},
		"Cloudflare without a model": {cf, []ProviderSpec{{
			Name: "cloudflare-ai-gateway", BaseURL: "https://gateway.ai.cloudflare.com/v1/acct/gw/anthropic", API: AnthropicMessages, Key: "k-cf",
			Models: model("claude-sonnet-4-6"), Default: "cloudflare-ai-gateway/claude-sonnet-4-6"}}},
		"Cloudflare, not whole": {env: []string{"CLOUDFLARE_AI_GATEWAY_API_KEY=k", "CF_AI_GATEWAY_ACCOUNT_ID=a", "CF_AI_GATEWAY_MODEL=openai/x"}},
		"Anthropic": {[]string{"ANTHROPIC_API_KEY=k-a"}, []ProviderSpec{{
			Name: "anthropic", BaseURL: "https://api.anthropic.com", API: AnthropicMessages, Key: "k-a", Default: "anthropic/claude-opus-5"}}},
		"Anthropic elsewhere": {[]string{"ANTHROPIC_API_KEY=k-a", "ANTHROPIC_BASE_URL=http://127.0.0.1:9/p//"}, []ProviderSpec{{
			Name: "anthropic", BaseURL: "http://127.0.0.1:9/p", API: AnthropicMessages, Key: "k-a", Default: "anthropic/claude-opus-5"}}},
		"the older gateway comes before Anthropic": {[]string{"AI_GATEWAY_API_KEY=k-old", "AI_GATEWAY_BASE_URL=https://gw.example/v1/anthropic/", "ANTHROPIC_API_KEY=k-a", "ANTHROPIC_BASE_URL=https://no.example"},
			[]ProviderSpec{{Name: "anthropic", BaseURL: "https://gw.example/v1/anthropic", API: AnthropicMessages, Key: "k-old", Default: "anthropic/claude-opus-5"}}},
		"the older gateway for OpenAI": {[]string{"AI_GATEWAY_API_KEY=k-old", "AI_GATEWAY_BASE_URL=https://gw.example/v1/openai", "ANTHROPIC_API_KEY=k-a"},
			[]ProviderSpec{
				{Name: "anthropic", BaseURL: "https://api.anthropic.com", API: AnthropicMessages, Key: "k-a", Default: "anthropic/claude-opus-5"},
				{Name: "openai", BaseURL: "https://gw.example/v1/openai", API: OpenAIResponses, Key: "k-old", Default: "openai/gpt-6-astra"}}},
		"the older gateway, not whole": {[]string{"AI_GATEWAY_API_KEY=k-old", "ANTHROPIC_API_KEY=k-a"},
			[]ProviderSpec{{Name: "anthropic", BaseURL: "https://api.anthropic.com", API: AnthropicMessages, Key: "k-a", Default: "anthropic/claude-opus-5"}}},
		"Google by either name": {[]string{"GOOGLE_API_KEY=k-2", "GEMINI_API_KEY=k-1", "XAI_API_KEY=k-x"}, []ProviderSpec{
			{Name: "xai", BaseURL: "https://api.x.ai/v1", API: OpenAICompletions, Key: "k-x", Default: "xai/grok-4.7"},
			{Name: "google", BaseURL: "https://generativelanguage.googleapis.com/v1beta", API: GoogleGenerative, Key: "k-1", Default: "google/gemini-3.1-pro-preview"}}},
		"in moltworker's order": {append([]string{"OPENROUTER_API_KEY=k-r", "OPENAI_API_KEY=k-o", "ANTHROPIC_API_KEY=k-a"}, cf...), []ProviderSpec{
			{Name: "cloudflare-ai-gateway", BaseURL: "https://gateway.ai.cloudflare.com/v1/acct/gw/anthropic", API: AnthropicMessages, Key: "k-cf", Models: model("claude-sonnet-4-6"), Default: "cloudflare-ai-gateway/claude-sonnet-4-6"},
			{Name: "anthropic", BaseURL: "https://api.anthropic.com", API: AnthropicMessages, Key: "k-a", Default: "anthropic/claude-opus-5"},
			{Name: "openai", BaseURL: "https://api.openai.com/v1", API: OpenAIResponses, Key: "k-o", Default: "openai/gpt-6-astra"},
			{Name: "openrouter", BaseURL: "https://openrouter.ai/api/v1", API: OpenAICompletions, Key: "k-r", Default: "openrouter/auto"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Providers(tt.env)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if len(got[i].From) == 0 {
					t.Errorf("%s: no variable is named", got[i].Name)
				}
				got[i].From = nil
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Providers = %+v\nwant        %+v", got, tt.want)
			}
		})
	}
}

// An error names the variable and never its value.
func TestVariableErrors(t *testing.T) {
	const secret = "hunter2-hunter2"
	for name, env := range map[string][]string{
		"CF_AI_GATEWAY_MODEL": {"CLOUDFLARE_AI_GATEWAY_API_KEY=k", "CF_AI_GATEWAY_ACCOUNT_ID=a", "CF_AI_GATEWAY_GATEWAY_ID=g", "CF_AI_GATEWAY_MODEL=" + secret},
		"ANTHROPIC_BASE_URL":  {"ANTHROPIC_API_KEY=k", "ANTHROPIC_BASE_URL=" + secret},
		"TELEGRAM_DM_POLICY":  {"TELEGRAM_BOT_TOKEN=1:x", "TELEGRAM_DM_POLICY=" + secret},
	} {
		_, err := Providers(env)
		if err == nil {
			_, err = Channels(env)
		}
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
	p, err := Providers(env)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Channels(env)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %v", p, p, c, Hints(env)); strings.Contains(text, "topsecret") || len(p) != 1 || len(c) != 1 {
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
