//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/test/fake"
)

// TestVariantDiscord: the same as on Telegram, with the plugin that OpenClaw has on
// npm, which creel has it install. Discord forgets what is said while the bot is away, so what is said comes
// when it is back.
func TestVariantDiscord(t *testing.T) { variant(t, playDiscord) }

// bert is somebody on Discord.
const bert = 800000000000004711

func playDiscord(t *testing.T, s *stage) {
	discord := fake.NewDiscord(t)
	s.downloads = 10 * time.Minute
	s.up(t, agentOn(s.llm), append(registry(), "DISCORD_BOT_TOKEN="+fake.DiscordToken, "DISCORD_DM_POLICY=pairing", "DISCORD_API_URL="+discord.URL())...)
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

// registry is what the tests were given to reach npm's registry: proxies,
// certificates. What it has got once it takes from npm's cache.
func registry() []string {
	environ := []string{"npm_config_cache=" + filepath.Join(filepath.Dir(filepath.Dir(versions)), "npm"), "npm_config_prefer_offline=true"}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(kv), "=")
		if slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "NPM_CONFIG_REGISTRY"}, name) {
			environ = append(environ, kv)
		}
	}
	return environ
}
