package daemon

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/openclaw"
	"creel/internal/runtime/runtimetest"
)

// TestApartFromCreel: what a gateway has written, and OpenClaw's command line runs, gets
// no further than the gateway: not to keys, records and snapshots, nor to the control
// socket, which opens everything to creel's own user. That holds when the next creel has
// made a new socket.
func TestApartFromCreel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("only root can keep programs apart; run the tests as root")
	}
	cfg := config.Defaults()
	cfg.DataDir = t.TempDir()
	cfg.Gateway.Sandbox = config.SandboxRequired
	layout, err := openclaw.LayoutIn(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(privateDir(cfg.DataDir), "key")
	for path, text := range map[string]string{key: "s3cr3t", layout.Config(): "{}"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen := func() net.Listener {
		l, err := api.ListenControl(cfg.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := listen()
	d := &daemon{}
	d.now.Store(&cfg)
	app := &openClaw{exec: func(cmd *exec.Cmd) error { return RunApart(d.cfg(), cmd) }}

	// In place of OpenClaw: what it would load from the state folder.
	script := `#!/bin/sh
cd "` + cfg.DataDir + `"
look() { for f in creel.sock private/creel.sock private/key; do [ -e $f ] && echo "$f SEEN"; done; echo looked; }
look
: > ready; while [ ! -e go ]; do sleep 0.05; done
look
`
	node := filepath.Join(layout.Root, "node")
	if err := os.WriteFile(node, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	run := openclaw.NewRunner(layout, openclaw.Installation{Node: node}, os.Environ(), nil, app.exec)
	said, failed := make(chan string, 1), make(chan error, 1)
	go func() {
		out, err := run(t.Context(), "doctor", "--fix")
		said <- out
		failed <- err
	}()
	runtimetest.Await(t, "the program has looked", func() bool {
		select {
		case err := <-failed:
			t.Fatalf("it has ended: %v\n%s", err, <-said)
		default:
		}
		_, err := os.Stat(filepath.Join(cfg.DataDir, "ready"))
		return err == nil
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := listen()
	defer second.Close()
	if _, err := os.Stat(api.SocketPath(cfg.DataDir)); err != nil {
		t.Errorf("creel itself does not see its socket: %v", err)
	}
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := <-said, <-failed
	if err != nil || strings.Contains(out, "SEEN") || strings.Count(out, "looked") != 2 {
		t.Errorf("%v; it says:\n%s", err, out)
	}
	if _, err := os.Stat(key); err != nil {
		t.Errorf("creel itself does not see its key: %v", err)
	}
}
