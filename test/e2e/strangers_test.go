//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"creel/test/fake"
)

// settings writes creel's own configuration file.
func (f *folder) settings(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(f.root, "creel.yaml")
	if len(f.creels) == 0 {
		f.extra = append(f.extra, "CREEL_CONFIG="+path)
	}
	if err := os.WriteFile(path, []byte("log: {level: info}\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// testStrangers: whoever has not signed in does not reach OpenClaw, with its token,
// from this machine, and through a proxy that creel trusts no more than otherwise.
// Whoever has, is to OpenClaw what the proxy says: a device on another machine that
// has to be let in, or one of this machine.
func testStrangers(t *testing.T, l *life) {
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	refused := func(what string, h http.Header) {
		t.Helper()
		conn, resp, err := websocket.Dial(ctx, "ws://"+l.listen+"/", &websocket.DialOptions{HTTPHeader: h})
		if err == nil {
			_ = conn.CloseNow()
		}
		if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %v %v", what, resp, err)
		}
	}
	token := "Bearer " + l.token
	refused("from this machine", http.Header{})
	refused("with OpenClaw's token", http.Header{"Authorization": {token}})
	refused("as another's client", http.Header{"X-Forwarded-For": {"203.0.113.9"}})

	l.settings(t, "proxy: {trusted_proxies: [127.0.0.1]}\n")
	l.mustCommand(t, "reload")
	for _, client := range []string{"203.0.113.9", "127.0.0.1"} {
		refused("through a trusted proxy, from "+client, http.Header{"X-Forwarded-For": {client}, "Authorization": {token}})
	}
	far := fake.NewDevice(t, "far away", "203.0.113.9")
	far.Cookie = l.door.cookie
	if _, err := far.Connect(ctx, l.listen, l.token); err == nil || !strings.Contains(err.Error(), "pairing required") || !strings.Contains(err.Error(), "http://"+l.listen+"/_creel/devices") {
		t.Errorf("signed in, on another machine: %v", err)
	}
	l.mustCommand(t, "devices", "reject", far.ID[:8])
	testVouched(ctx, t, l)
	near := fake.NewDevice(t, "right here", "127.0.0.1")
	near.Cookie = l.door.cookie
	conn, err := near.Connect(ctx, l.listen, l.token)
	if err != nil {
		t.Errorf("signed in, on this machine: %v", err)
	} else if err := conn.CloseNow(); err != nil {
		t.Error(err)
	}
	l.settings(t, "")
	l.mustCommand(t, "reload")
}

// testVouched: where that is wanted, creel lets the device of a person in who is
// signed in, and nobody else's.
func testVouched(ctx context.Context, t *testing.T, l *life) {
	const trusted = "proxy: {trusted_proxies: [127.0.0.1]}\n"
	l.settings(t, trusted+"gateway: {openclaw: {approve: signed-in}}\n")
	l.mustCommand(t, "reload")
	device := fake.NewDevice(t, "of an owner", "203.0.113.10")
	device.Cookie = l.door.cookie
	eventually(t, requestLimit, "the device to be let in", func() (bool, string) {
		conn, err := device.Connect(ctx, l.listen, l.token)
		if err == nil {
			err = conn.CloseNow()
		}
		return err == nil, fmt.Sprint(err)
	})
	if text := l.mustCommand(t, "events", "--json"); !strings.Contains(text, `"person":"owner"`) {
		t.Errorf("the journal does not say who vouched for the device:\n%s", text)
	}
	l.mustCommand(t, "devices", "revoke", device.ID[:8])
	l.settings(t, trusted)
	l.mustCommand(t, "reload")
}
