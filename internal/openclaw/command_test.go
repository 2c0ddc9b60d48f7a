package openclaw

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The environment as the gateway itself sees it.
func TestCommandFromInside(t *testing.T) {
	l := newLayout(t)
	c, err := Configure(l, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(t.TempDir(), "node") // see TestMain
	if err := os.Symlink(self, node); err != nil {
		t.Fatal(err)
	}
	in := Installation{Node: node, Entry: "/inst/openclaw.mjs"}
	inherited := []string{
		"PATH=/usr/bin:/bin", "HOME=/root", "TMPDIR=/var/tmp", "TMP=/t", "FORCE_COLOR=1", "TERM=xterm", "XDG_STATE_HOME=/x", "PWD=/p", "LANG=de_DE.UTF-8",
		"ANTHROPIC_API_KEY=sk-ant", "OPENAI_API_KEY=sk-oai", "AWS_REGION=eu", "HTTPS_PROXY=http://p.test", "NODE_EXTRA_CA_CERTS=/ca.pem", "SSH_AUTH_SOCK=/a=b",
		"CREEL_DATA_DIR=/d", "CREEL_S3_SECRET=s", "R2_SECRET_ACCESS_KEY=s", "MOLTBOT_GATEWAY_TOKEN=t",
		"INVOCATION_ID=1", "SYSTEMD_EXEC_PID=2", "JOURNAL_STREAM=8:1", "NOTIFY_SOCKET=/n", "LISTEN_FDS=1", "LISTEN_PID=3", "WATCHDOG_USEC=1", "CREDENTIALS_DIRECTORY=/c",
		"OPENCLAW_SYSTEMD_UNIT=u", "OPENCLAW_GATEWAY_TOKEN=old", "OPENCLAW_STATE_DIR=/elsewhere", "OPENCLAW_PROFILE=p", "OPENCLAW_SUPERVISOR_MODE=none",
		"NODE_COMPILE_CACHE=/cc", "NODE_OPTIONS=--inspect", "NODE_CHANNEL_FD=3", "npm_lifecycle_event=start", "not-an-assignment",
	}
	inv, err := Command(l, in, 18789, inherited, map[string]string{"OPENCLAW_LOG_LEVEL": "debug", "ANTHROPIC_API_KEY": "sk-own", "NODE_OPTIONS": "--max-old-space-size=512"})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), inv.Argv[0], inv.Argv[1:]...)
	cmd.Dir, cmd.Env = inv.Dir, inv.Env
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Args, Env []string
		Dir       string
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/inst/openclaw.mjs", "gateway", "--port", "18789"}; !slices.Equal(seen.Args, want) {
		t.Errorf("arguments %q, want %q", seen.Args, want)
	}
	if seen.Dir != l.Home() {
		t.Errorf("working directory %s, want %s", seen.Dir, l.Home())
	}
	want := []string{
		"ANTHROPIC_API_KEY=sk-own", "AWS_REGION=eu", "HOME=" + l.Home(), "HTTPS_PROXY=http://p.test", "LANG=de_DE.UTF-8", "NODE_EXTRA_CA_CERTS=/ca.pem",
		"NODE_OPTIONS=--max-old-space-size=512", "OPENAI_API_KEY=sk-oai",
		"OPENCLAW_CONFIG_PATH=" + l.Config(), "OPENCLAW_DISABLE_BONJOUR=1", "OPENCLAW_LOG_LEVEL=debug", "OPENCLAW_NO_AUTO_UPDATE=1",
		"OPENCLAW_STATE_DIR=" + l.State(), "OPENCLAW_SUPERVISOR_MODE=external",
		"PATH=" + filepath.Dir(node) + ":/usr/bin:/bin", "SSH_AUTH_SOCK=/a=b", "TMPDIR=" + l.Tmp(),
	}
	slices.Sort(seen.Env)
	if !slices.Equal(seen.Env, want) {
		t.Errorf("environment:\n%s\nwant:\n%s", strings.Join(seen.Env, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(strings.Join(inv.Argv, " "), c.Token.Reveal()) {
		t.Error("the token is in the arguments")
	}
}

func TestCommandRefuses(t *testing.T) {
	l := newLayout(t)
	for _, name := range []string{
		"HOME", "TMPDIR", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH", "OPENCLAW_SUPERVISOR_MODE", "OPENCLAW_GATEWAY_TOKEN",
		"OPENCLAW_GATEWAY_PORT", "OPENCLAW_PROFILE", "NODE_COMPILE_CACHE", "INVOCATION_ID",
	} {
		_, err := Command(l, Installation{Node: "/n/node"}, 1, nil, map[string]string{name: "x"})
		if failure, ok := errors.AsType[*EnvError](err); !ok || failure.Name != name || !strings.HasPrefix(err.Error(), "cannot set "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What creel sets anyway does no harm.
	if _, err := Command(l, Installation{Node: "/n/node"}, 1, nil, map[string]string{"OPENCLAW_NO_AUTO_UPDATE": "1"}); err != nil {
		t.Error(err)
	}
	for _, port := range []int{0, -1, 65536} {
		if _, err := Command(l, Installation{}, port, nil, nil); err == nil {
			t.Errorf("port %d was accepted", port)
		}
	}
}

func TestCommandPath(t *testing.T) {
	l := newLayout(t)
	for environ, want := range map[string]string{"": "/n:" + defaultPath, "PATH=": "/n:" + defaultPath, "PATH=/a:/b": "/n:/a:/b"} {
		inv, err := Command(l, Installation{Node: "/n/node"}, 1, []string{environ}, nil)
		if err != nil || !slices.Contains(inv.Env, "PATH="+want) {
			t.Errorf("%q: %q, %v", environ, inv.Env, err)
		}
	}
	inv, err := Command(l, Installation{Node: "/n/node"}, 1, nil, map[string]string{"PATH": "/mine"})
	if err != nil || !slices.Contains(inv.Env, "PATH=/n:/mine") {
		t.Errorf("%q, %v", inv.Env, err)
	}
}
