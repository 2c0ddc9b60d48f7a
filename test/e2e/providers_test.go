//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"creel/test/fake"
)

// The keys that creel is given. What is looked for inside is never whole in what the
// agent is told to run, since OpenClaw keeps that.
const (
	cloudflareKey = "cf-real-0123456789abcdefghij"
	anthropicKey  = "sk-ant-real-9876543210zyxwvuts"
	xaiKey        = "xai-real-4711471147114711abcd"
)

var realKeys = map[string]string{"cloudflare": cloudflareKey, "anthropic": anthropicKey, "xai": xaiKey, "google": fake.GeminiKey}

// aiGateway is a Cloudflare AI Gateway in front of a fake model.
type aiGateway struct {
	server *httptest.Server
	mu     sync.Mutex
	seen   []seenRequest
}

type seenRequest struct {
	path, authorization, model string
	whole                      string // all that was sent
}

func newAIGateway(t *testing.T, llm *fake.LLM) *aiGateway {
	t.Helper()
	behind, err := url.Parse(strings.TrimSuffix(llm.URL(), "/v1"))
	if err != nil {
		t.Fatal(err)
	}
	g := &aiGateway{}
	pass := httputil.NewSingleHostReverseProxy(behind)
	pass.FlushInterval = -1
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway is gone
		}
		head, err := httputil.DumpRequest(r, false)
		if err != nil {
			t.Error(err)
		}
		var asked struct{ Model string }
		_ = json.Unmarshal(body, &asked) // what names no model is seen all the same
		g.mu.Lock()
		g.seen = append(g.seen, seenRequest{r.URL.Path, r.Header.Get("Authorization"), asked.Model, string(head) + string(body)})
		g.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		g.server.CloseClientConnections()
		g.server.Close()
	})
	return g
}

func (g *aiGateway) requests() []seenRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]seenRequest(nil), g.seen...)
}

// TestKeysOutOfReach: with keys in creel's environment the agent has a model; the
// model's provider sees the real key, and nothing inside the gateway does: not its
// environment, its files, nor what it can read of other processes. The death of
// creel changes nothing of that.
func TestKeysOutOfReach(t *testing.T) {
	f, llm, gemini := newFolder(t), fake.NewLLM(t), fake.NewGemini(t)
	provider := newAIGateway(t, llm)
	if err := os.MkdirAll(filepath.Dir(f.config()), 0o700); err != nil {
		t.Fatal(err)
	}
	f.configure(t, `{"agents": {"defaults": {"skipBootstrap": true}}}`)
	f.extra = append(f.extra,
		"CLOUDFLARE_AI_GATEWAY_API_KEY="+cloudflareKey, "CF_AI_GATEWAY_ACCOUNT_ID=acc", "CF_AI_GATEWAY_GATEWAY_ID=gw",
		"CF_AI_GATEWAY_MODEL=workers-ai/@cf/openai/gpt-oss-120b", "ANTHROPIC_API_KEY="+anthropicKey, "XAI_API_KEY="+xaiKey, "GEMINI_API_KEY="+fake.GeminiKey,
		fmt.Sprintf(`CREEL_PROVIDERS_LIST=[{"name": "cf-ai-gw-workers-ai", "kind": "cloudflare-ai-gateway", "base_url": "%s/v1/acc/gw/workers-ai/v1"}, {"kind": "google", "base_url": "%s"}]`, provider.server.URL, gemini.URL()),
		`CREEL_PROVIDERS_BUDGETS=[{"provider": "google", "model": "gemini-3*", "tokens": 1}]`)
	c := f.up(t)
	token := tokenOf(t, f, c.link(t))
	f.wantReady(t)
	seen := f.agentRuns(t, llm, token, "Look around.", f.lookForKeys(c.cmd.Process.Pid))
	f.wantNoKeys(t, seen)
	asked := provider.requests()
	if len(asked) == 0 {
		t.Fatal("the provider was asked nothing")
	}
	for _, r := range asked {
		if r.path != "/v1/acc/gw/workers-ai/v1/chat/completions" || r.authorization != "Bearer "+cloudflareKey || r.model != "@cf/openai/gpt-oss-120b" {
			t.Errorf("the provider saw %s for %s with %q", r.path, r.model, r.authorization)
		}
		if head, _, _ := strings.Cut(r.whole, "\r\n\r\n"); strings.Contains(head, "creel-") || strings.Contains(r.whole, anthropicKey) {
			t.Errorf("the provider saw what it must not:\n%s", head)
		}
	}
	c.signal(t, syscall.SIGKILL)
	<-c.done
	again := f.up(t)
	again.link(t)
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	o, err := f.dial(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	if err := o.turn(ctx, "Are you still there?"); err != nil {
		t.Fatal(err)
	}
	if s := f.status(t); s.Generation != 1 {
		t.Errorf("the gateway was started again: %v", s)
	}
	if now := provider.requests(); len(now) <= len(asked) || now[len(now)-1].authorization != "Bearer "+cloudflareKey {
		t.Errorf("after the death of creel the provider saw %d requests more", len(now)-len(asked))
	}
	var report struct {
		Usage []struct {
			Provider, Model string
			Requests        int
		}
	}
	if err := json.Unmarshal([]byte(f.mustCommand(t, "providers", "usage", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Usage) != 1 || report.Usage[0].Requests != len(provider.requests()) || report.Usage[0].Model != "@cf/openai/gpt-oss-120b" {
		t.Errorf("counted: %+v; the provider saw %d", report.Usage, len(provider.requests()))
	}
	o.askGemini(ctx, t, gemini)
	o.close()
	f.end(t, again)
}

// askGemini asks a model of Google's own API in a session of its own: Google sees the
// real key in its field, and nothing of creel's; what is over the budget of tokens then
// is refused, and the chat says by whom.
func (o *operator) askGemini(ctx context.Context, t *testing.T, gemini *fake.Gemini) {
	t.Helper()
	const session = "agent:main:gemini"
	if err := o.call(ctx, "sessions.patch", map[string]any{"key": session, "model": "google/gemini-3.1-pro-preview"}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if err := o.turnIn(ctx, session, "What is 20 + 22?"); err != nil {
		t.Fatal(err)
	}
	err := o.turnIn(ctx, session, "What is 30 + 33?")
	if err == nil || !strings.Contains(err.Error(), "creel: the daily budget of google/gemini-3*, 1 tokens, is used up") {
		t.Errorf("over the budget: %v", err)
	}
	answered := false
	for _, r := range gemini.Requests() {
		answered = answered || strings.Contains(r.Body, "20 + 22") && r.Target == "/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent?alt=sse"
		if r.Key != fake.GeminiKey || strings.Contains(r.Target+r.Fields, "creel-") || strings.Contains(r.Body, "30 + 33") {
			t.Errorf("Google saw %s %s with %s", r.Method, r.Target, r.Fields)
		}
	}
	if !answered {
		t.Error("Google was asked nothing")
	}
}

// lookForKeys is a script that looks for keys wherever the agent may look.
func (f *folder) lookForKeys(creel int) string {
	var script strings.Builder
	script.WriteString("env; cat $OPENCLAW_CONFIG_PATH; echo; ")
	for name, key := range realKeys {
		half := len(key) / 2
		fmt.Fprintf(&script, `echo %s $(grep -rlsaF %s''%s %s /proc/[0-9]*/environ | wc -l); `, name, key[:half], key[half:], f.root)
	}
	fmt.Fprintf(&script, "for n in environ mem maps; do head -c 1 /proc/%d/$n >/dev/null 2>&1 && echo creel $n is open; done; ls -A %s | wc -l; echo the end", creel, filepath.Join(f.data, "private"))
	return script.String()
}

// wantNoKeys checks what that script has printed, and what is outside of the agent's
// reach as well.
func (f *folder) wantNoKeys(t *testing.T, seen string) {
	t.Helper()
	for _, want := range []string{"OPENCLAW_CONFIG_PATH", `creel-`, "cloudflare 0", "anthropic 0", "xai 0", "google 0", "the end"} {
		if !strings.Contains(seen, want) {
			t.Errorf("the agent sees what it must not, or could not look: no %q in\n%s", want, seen)
		}
	}
	for _, bad := range []string{cloudflareKey, anthropicKey, xaiKey, fake.GeminiKey, "is open", "API_KEY="} {
		if strings.Contains(seen, bad) {
			t.Errorf("the agent sees %q:\n%s", bad, seen)
		}
	}
	for _, p := range f.processes(t) {
		for name, key := range realKeys {
			if strings.Contains(p.command+p.environ, key) {
				t.Errorf("the key of %s is in the command line or the environment of %v", name, p)
			}
		}
	}
}
