//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/snapshot/storetest"
	"creel/test/fake"
)

// moltworkerBucket is what a moltworker of February 2026 (OpenClaw 2026.2.3, copied by
// rclone) has left in its bucket: the configuration that its onboarding and its start
// script wrote, and what the agent has made of its life since.
func moltworkerBucket(t *testing.T, llm *fake.LLM) map[string]string {
	type object = map[string]any
	config := object{
		"meta":   object{"lastTouchedVersion": "2026.2.3", "lastTouchedAt": "2026-03-02T09:14:07.311Z"},
		"wizard": object{"lastRunAt": "2026-02-12T18:02:44.120Z", "lastRunVersion": "2026.2.3", "lastRunCommand": "onboard", "lastRunMode": "local"},
		"auth":   object{"profiles": object{"anthropic:default": object{"provider": "anthropic", "mode": "api_key"}}},
		"gateway": object{
			"port": 18789, "mode": "local", "bind": "lan", "trustedProxies": []string{"10.1.0.0"},
			"auth":      object{"mode": "token", "token": "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"},
			"tailscale": object{"mode": "off", "resetOnExit": false},
		},
		"models": object{"providers": object{"cf-ai-gw-openai": object{
			"baseUrl": llm.URL(), "apiKey": "sk-fake", "api": "openai-completions",
			"models": []object{{"id": "gpt-4o-mini", "name": "gpt-4o-mini", "contextWindow": 131072, "maxTokens": 8192}},
		}}},
		"agents": object{"defaults": object{
			"workspace": "/root/clawd", "model": object{"primary": "cf-ai-gw-openai/gpt-4o-mini"},
			"compaction": object{"mode": "safeguard"}, "maxConcurrent": 4, "subagents": object{"maxConcurrent": 8}, "skipBootstrap": true,
		}},
		"messages": object{"ackReactionScope": "group-mentions"},
		"commands": object{"native": "auto", "nativeSkills": "auto"},
		"skills":   object{"install": object{"nodeManager": "npm"}},
	}
	session := `{"type":"session","version":3,"id":"0b9a7c1e-2222-4444-8888-3f5d1a9e0c11","timestamp":"2026-02-20T10:00:00.000Z","cwd":"/root/clawd"}` + "\n" +
		`{"type":"message","id":"5f1c2a10","parentId":null,"timestamp":"2026-02-20T10:00:01.000Z","message":{"role":"user","content":[{"type":"text","text":"The herring is red."}],"timestamp":1771581601000}}` + "\n" +
		`{"type":"message","id":"5f1c2a11","parentId":"5f1c2a10","timestamp":"2026-02-20T10:00:04.000Z","message":{"role":"assistant","content":[{"type":"text","text":"Noted."}],"api":"openai-completions","provider":"cf-ai-gw-openai","model":"gpt-4o-mini","usage":{"input":1,"output":1,"cacheRead":0,"cacheWrite":0,"totalTokens":2,"cost":{"input":0,"output":0,"cacheRead":0,"cacheWrite":0,"total":0}},"stopReason":"stop","timestamp":1771581604000}}` + "\n"
	return map[string]string{
		"openclaw/openclaw.json": toJSON(t, config),
		"openclaw/agents/main/sessions/0b9a7c1e-2222-4444-8888-3f5d1a9e0c11.jsonl": session,
		"openclaw/agents/main/sessions/sessions.json":                              `{"agent:main:main":{"sessionId":"0b9a7c1e-2222-4444-8888-3f5d1a9e0c11","updatedAt":1771581600000}}`,
		"openclaw/cron/jobs.json":                                                  `{"version":1,"jobs":[]}`,
		"openclaw/gateway.lock":                                                    "{}",
		"workspace/AGENTS.md":                                                      "# AGENTS.md\n",
		"workspace/MEMORY.md":                                                      "The password of the lighthouse is mussel.\n",
		"workspace/memory/2026-02-20.md":                                           "Fed the cat.\n",
		"skills/tides/SKILL.md":                                                    "---\nname: tides\ndescription: when the water comes\n---\nLook at the moon.\n",
	}
}

// TestMoltworkerState: who moves in from moltworker starts the present OpenClaw on what
// lies in the bucket. It gets ready, and the agent has its memory.
func TestMoltworkerState(t *testing.T) {
	llm, b, f := fake.NewLLM(t), newBucket(t), newFolder(t)
	left := moltworkerBucket(t, llm)
	for key, content := range left {
		b.server.Put("creel", key, content)
	}
	before := b.server.Objects()
	f.extra = append(f.extra, "R2_ACCESS_KEY_ID="+storetest.AccessKey, "R2_SECRET_ACCESS_KEY="+storetest.SecretKey)
	args := []string{"import", "moltworker", "--bucket", "creel", "--endpoint", "http://" + b.server.Addr, "--region", "us-east-1", "--json"}
	if out := f.mustCommand(t, append(args, "--dry-run")...); !strings.Contains(out, `"rclone"`) {
		t.Errorf("a dry run says %s", out)
	}
	var report struct{ Totals struct{ Files int } }
	if err := json.Unmarshal([]byte(f.mustCommand(t, args...)), &report); err != nil || report.Totals.Files != len(left)-1 { // the lock stays behind
		t.Errorf("%d files of %d were brought along (%v)", report.Totals.Files, len(left), err)
	}
	if after := b.server.Objects(); !maps.Equal(after, before) {
		t.Errorf("the bucket was changed: it was %v, and is %v", before, after)
	}

	c := f.up(t)
	token := tokenOf(t, f, c.link(t))
	f.wantReady(t)
	out := f.agentRuns(t, llm, token, "What is the password?", "pwd && cat MEMORY.md memory/2026-02-20.md skills/tides/SKILL.md")
	for _, want := range []string{filepath.Join(f.home(), "clawd"), "mussel", "Fed the cat", "Look at the moon"} {
		if !strings.Contains(out, want) {
			t.Errorf("the agent does not find %q: %s", want, out)
		}
	}
	var config struct {
		Gateway struct{ Bind string }
		Agents  struct{ Defaults struct{ Workspace string } }
	}
	text, err := os.ReadFile(f.config())
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil || config.Agents.Defaults.Workspace != filepath.Join(f.home(), "clawd") || config.Gateway.Bind == "lan" || strings.Contains(string(text), "/root/clawd") {
		t.Errorf("the configuration: %v\n%s", err, text)
	}
	if history := f.history(t, token); !strings.Contains(history, "The herring is red.") {
		t.Errorf("the conversation of then is not in that of now: %.2000s", history)
	}
	// What was brought along is looked after from now on.
	if s := f.snapshot(t); s.Totals.Files < int64(report.Totals.Files) {
		t.Errorf("a snapshot has %d files", s.Totals.Files)
	}
	f.end(t, c)
}

// history is the agent's conversation with its owner.
func (f *folder) history(t *testing.T, token string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	o, err := f.dial(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	var history json.RawMessage
	if err := o.call(ctx, "chat.history", map[string]any{"sessionKey": mainSession}, &history); err != nil {
		t.Fatal(err)
	}
	return string(history)
}
