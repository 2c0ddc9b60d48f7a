package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestProvidersFromFile: a list of sections may leave keys out, has lists of its
// own, and paths that begin at the file; what is shown is what was read.
func TestProvidersFromFile(t *testing.T) {
	path := writeFile(t, `
providers:
  proxy: off
  port: 18999
  model: local/llama
  leave: [google]
  list:
    - {kind: anthropic, key_file: keys/anthropic}
    - {name: local, kind: openai-compatible, base_url: "http://127.0.0.1:4000/v1", key_env: LOCAL_KEY, models: [llama, "qwen:7b"]}
  budgets:
    - {provider: anthropic, model: claude-opus-5, requests: 5}
    - {tokens: 1000000}
`)
	cfg, _, err := Load(LoadOptions{Path: path, DataDir: "/d", Flags: []Flag{appFlag}})
	if err != nil {
		t.Fatal(err)
	}
	want := Providers{
		Proxy: ProvidersProxyOff, Port: 18999, Model: "local/llama", FirstByte: DefaultResponse, Leave: []string{ProviderGoogle},
		List: []Provider{
			{Kind: ProviderAnthropic, KeyFile: filepath.Join(filepath.Dir(path), "keys/anthropic")},
			{Name: "local", Kind: ProviderCompatible, BaseURL: "http://127.0.0.1:4000/v1", KeyEnv: "LOCAL_KEY", Models: []string{"llama", "qwen:7b"}},
		},
		Budgets: []Budget{{Provider: "anthropic", Model: "claude-opus-5", Requests: 5}, {Tokens: 1000000}},
	}
	if !reflect.DeepEqual(cfg.Providers, want) {
		t.Errorf("got %+v\nwant %+v", cfg.Providers, want)
	}
	if err := check(t, compile(t), []byte("providers: {leave: [google], list: [{kind: ollama}], budgets: [{tokens: 5}]}")); err != nil {
		t.Error(err)
	}
	shown, err := Render(cfg, &Sources{})
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Load(LoadOptions{Path: writeFile(t, string(shown))})
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if changes := Diff(cfg, again); len(changes) != 0 {
		t.Errorf("read again: %+v", changes)
	}
}

func TestProvidersFromVariable(t *testing.T) {
	cfg, _, err := Load(LoadOptions{DataDir: "/d", Flags: []Flag{appFlag}, Environ: []string{
		`CREEL_PROVIDERS_LIST=[{"kind":"openai","key_env":"K"}]`, `CREEL_PROVIDERS_BUDGETS=[{"requests": 3}]`, "CREEL_PROVIDERS_PROXY=off", "CREEL_PROVIDERS_LEAVE=google, nvidia"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Provider{{Kind: ProviderOpenAI, KeyEnv: "K"}}; !reflect.DeepEqual(cfg.Providers.List, want) || cfg.Providers.Budgets[0].Requests != 3 || !reflect.DeepEqual(cfg.Providers.Leave, []string{ProviderGoogle, ProviderNVIDIA}) {
		t.Errorf("got %+v", cfg.Providers)
	}
}

func TestProvidersRefused(t *testing.T) {
	for line, want := range map[string]string{
		"list: [{name: x}]":                                                           "kind",
		"list: [{kind: gpt}]":                                                         "is not one of",
		"list: [{kind: openai-compatible}]":                                           "base_url",
		"list: [{kind: openai, base_url: api.openai.com}]":                            "does not begin with https://",
		"list: [{kind: openai, base_url: 'https://user:hunter2@h/v1'}]":               "must not hold a user",
		"list: [{kind: openai, base_url: 'https://h/v1?key=hunter2'}]":                `must not have "?"`,
		"list: [{kind: openai, base_url: 'https://h/a/../b'}]":                        "segment",
		"list: [{kind: openai, base_url: 'file:///etc/passwd'}]":                      "does not begin with https://",
		"list: [{kind: openai, key_env: sk-hunter2}]":                                 "is not the name of an environment variable",
		"list: [{kind: openai, key_env: A, key_file: /b}]":                            "not both",
		"list: [{kind: openai, gateway_key_env: A}]":                                  "only for kind",
		"list: [{kind: openai}, {name: openai, kind: ollama}]":                        "providers.list[0] too",
		"list: [{kind: openai, name: a/b}]":                                           "is not a name",
		"list: [{kind: openai, key: hunter2}]":                                        "unknown key",
		"list: [{kind: openai-compatible, base_url: 'http://h', models: ['a b']}]":    "is not a model",
		"budgets: [{provider: openai}]":                                               "limits nothing",
		"budgets: [{model: 'gpt*6', requests: 1}]":                                    "not at its end",
		"budgets: [{requests: -1}]":                                                   "negative",
		"model: gpt":                                                                  "provider/model",
		"first_byte: 0":                                                               "longer than 0",
		"proxy: maybe":                                                                "is not one of",
		"leave: [gogle]":                                                              `providers.leave[0]: "gogle" is not one of "anthropic", "openai", "openrouter", "xai", "together", "nvidia", "google", "cloudflare-ai-gateway", "ollama"; did you mean "google"?`,
		"leave: [openai-compatible]":                                                  `"openai-compatible" is not one of`,
		"leave: google":                                                               "must be a list",
		"leave: [xai, google], list: [{kind: google, base_url: 'https://g.example'}]": `providers.list[0]: "google" is in providers.leave too: remove it there if creel is to hold the key, or remove this provider if the gateway is`,
		"leave: [google], list: [{name: google, kind: openai-compatible, base_url: 'https://g.example'}]": `"google" is in providers.leave too`,
		"port: 70000": "is not a port",
	} {
		_, _, err := Load(LoadOptions{Path: writeFile(t, "providers: {"+line+"}\n"), DataDir: "/d", Flags: []Flag{appFlag}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

// TestLeaveInSchema: an editor shows a kind that there is none of, and one that has no
// variables to leave.
func TestLeaveInSchema(t *testing.T) {
	for _, line := range []string{"providers: {leave: [gogle]}", "providers: {leave: [openai-compatible]}", "providers: {leave: google}"} {
		if err := check(t, compile(t), []byte(line)); err == nil {
			t.Errorf("%s is accepted", line)
		}
	}
	for _, kind := range ProviderKinds {
		leaves := check(t, compile(t), []byte("providers: {leave: ["+kind+"]}")) == nil
		if leaves != (kind != ProviderCompatible) {
			t.Errorf("%s can be left: %v", kind, leaves)
		}
	}
}
