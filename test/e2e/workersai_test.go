//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/test/fake"
)

// TestVariantWorkersAI: the model is one of Workers AI behind Cloudflare's AI
// gateway, named by moltworker's variables. The AI gateway is asked at its real
// address, for the right model, with the key; nobody who looks from inside the
// agent's gateway finds that key.
func TestVariantWorkersAI(t *testing.T) { variant(t, playWorkersAI) }

func playWorkersAI(t *testing.T, s *stage) {
	const model = "@cf/openai/gpt-oss-120b"
	gateway := fake.NewAIGateway(t, s.llm)
	s.up(t, object{"agents": object{"defaults": object{"skipBootstrap": true}}}, append(gateway.Environ(),
		"CLOUDFLARE_AI_GATEWAY_API_KEY="+gateway.Key, "CF_AI_GATEWAY_ACCOUNT_ID="+gateway.Account,
		"CF_AI_GATEWAY_GATEWAY_ID="+gateway.Gateway, "CF_AI_GATEWAY_MODEL=workers-ai/"+model)...)

	s.say(t, "A question to a model of Workers AI")
	page := s.enter(t, s.url(""), openGateway)
	s.shows(t, page)
	page.until(t, "the Control UI is connected", chatReady)
	page.ask(t, "What is 847293 + 651824? Reply with just the number.")
	page.until(t, "it is answered", answered("1499117"))
	s.snap(t, page, "answered")
	asked := gateway.Requests()
	for _, r := range asked {
		if r.Path != gateway.Path() || r.Model != model || r.Authorization != "Bearer "+gateway.Key {
			t.Errorf("the AI gateway was asked for %+v", r)
		}
	}
	if len(asked) == 0 {
		t.Error("the AI gateway was not asked")
	}

	s.say(t, "The agent looks for the key")
	// Half of the key at a time: what is looked for is not to be found in the
	// command, which OpenClaw keeps.
	half := len(gateway.Key) / 2
	printed := s.llm.Use("exec", toJSON(t, object{"command": fmt.Sprintf(
		`printenv | grep -c API_KEY; printf 'found %%s\n' $(grep -rlasF '%s''%s' %s /proc/[0-9]*/environ 2>/dev/null | wc -l)`,
		gateway.Key[:half], gateway.Key[half:], s.root)}))
	page.ask(t, "Look for the key.")
	page.until(t, "the agent has looked", shown(fake.AllIsWell))
	s.snap(t, page, "looked")
	select {
	case text := <-printed:
		if !strings.Contains(text, "found 0") {
			t.Errorf("the agent finds the key: %s", text)
		}
	default:
		t.Error("the agent has not looked")
	}
	s.wantNowhere(t, gateway.Key)
	t.Logf("others that were to be reached: %q", gateway.Refused())
	s.end(t)
}

// wantNowhere looks from outside: a secret is in no process of the gateway's, and in
// no file of the data folder.
func (s *stage) wantNowhere(t *testing.T, secret string) {
	t.Helper()
	for _, p := range s.processes(t) {
		if p.pid != s.creel.cmd.Process.Pid && strings.Contains(p.command+p.environ, secret) {
			t.Errorf("the key is in the command line or the environment of %v", p)
		}
	}
	files := 0
	err := filepath.WalkDir(s.data, func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // it was there a moment ago
		}
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/.openclaw/cache/") {
			return err
		}
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		files++
		if strings.Contains(string(content), secret) {
			t.Errorf("the key is in %s", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}
