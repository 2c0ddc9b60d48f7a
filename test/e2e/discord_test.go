//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/internal/openclaw"
	"creel/test/fake"
)

// TestVariantDiscord: the same as on Telegram, with the plugin that OpenClaw has on
// npm. Discord forgets what is said while the bot is away, so what is said comes
// when it is back.
func TestVariantDiscord(t *testing.T) { variant(t, playDiscord) }

// bert is somebody on Discord.
const bert = 800000000000004711

func playDiscord(t *testing.T, s *stage) {
	discord := fake.NewDiscord(t)
	config := agentOn(s.llm)
	s.writeConfig(t, config)
	s.download(t, "openclaw", "exec", "--", "plugins", "install", "npm:@openclaw/discord@"+openclaw.DefaultVersion)
	config["plugins"] = object{"entries": object{"discord": object{"enabled": true}}}
	config["channels"] = object{"discord": object{"enabled": true, "token": fake.DiscordToken, "dmPolicy": "pairing"}}
	s.up(t, config, "DISCORD_API_URL="+discord.URL())
	m := &messenger{
		name: "discord", app: discord.App(bert), forgets: true,
		told: func() (texts []string) {
			for _, message := range discord.Sent() {
				texts = append(texts, message.Text)
			}
			return texts
		},
		listens: discord.OnlineAfter,
	}
	s.playMessenger(t, m)
	if n := discord.Sessions(); n != 1 {
		t.Errorf("%d sessions of the bot at once", n)
	}
	t.Logf("requests that Discord's fake does not know: %q", discord.Unknown())
	s.end(t)
}

// downloadPauses are between the attempts of a download.
var downloadPauses = []time.Duration{2 * time.Second, 8 * time.Second, 20 * time.Second, 45 * time.Second}

// download runs one of creel's commands that downloads something, five times at
// most: registries fail now and then. It has what the tests were given to reach one:
// proxies, certificates. What it has got once it takes from npm's cache.
func (f *folder) download(t *testing.T, args ...string) {
	t.Helper()
	began := time.Now()
	for attempt := 0; ; attempt++ {
		err := f.tryDownload(t, args)
		if err == nil {
			t.Logf("creel %s after %v", strings.Join(args, " "), time.Since(began).Round(time.Millisecond))
			return
		}
		if attempt == len(downloadPauses) {
			t.Fatalf("after %d attempts: %v", attempt+1, err)
		}
		t.Logf("again in %v: %v", downloadPauses[attempt], err)
		select {
		case <-time.After(downloadPauses[attempt]):
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		}
	}
}

func (f *folder) tryDownload(t *testing.T, args []string) error {
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--data-dir", f.data}, args...)...)
	cmd.Env = append(f.environ(), "npm_config_cache="+filepath.Join(filepath.Dir(filepath.Dir(versions)), "npm"), "npm_config_prefer_offline=true")
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(kv), "=")
		if slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "NPM_CONFIG_REGISTRY"}, name) {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("creel %s: %w\n%s", strings.Join(args, " "), err, &output)
	}
	return nil
}
