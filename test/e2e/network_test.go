//go:build e2e

package e2e

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"creel/test/fake"
)

// TestFromTheNetwork: who comes from another address of the network is not of this
// machine to OpenClaw, by whatever name creel is reached, and by whatever headers are
// sent along; who comes over loopback to the same creel is.
func TestFromTheNetwork(t *testing.T) {
	f := newFolder(t)
	_, port, err := net.SplitHostPort(f.listen)
	if err != nil {
		t.Fatal(err)
	}
	f.settings(t, "")
	here := networkAddress(t)
	reached := net.JoinHostPort(here, port)
	c := f.up(t, "--listen", net.JoinHostPort("", port))
	link := c.link(t)
	if !f.isLink(link) {
		t.Errorf("the link is %q", link)
	}
	eventually(t, momentLimit, "creel says that other machines reach this one as "+here, func() (bool, string) {
		said := read(t, c.stderr)
		return strings.Contains(said, here), said
	})
	answer := f.get(t.Context(), "/_creel/open")
	_, token, ok := strings.Cut(answer.header.Get("Location"), "#token=")
	if answer.err != nil || !ok {
		t.Fatalf("opening the gateway: %v %v", answer, answer.header)
	}
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	for _, claimed := range []string{"", "127.0.0.1", "203.0.113.9"} {
		far := fake.NewDevice(t, "of the network", claimed)
		far.Cookie = f.door.cookie
		if _, err := far.Connect(ctx, reached, token); err == nil || !strings.Contains(err.Error(), "pairing required") {
			t.Errorf("from %s, claiming to be %q: %v", here, claimed, err)
		}
		if text := f.mustCommand(t, "devices"); !strings.Contains(text, here) || claimed != "" && strings.Contains(text, claimed) {
			t.Errorf("creel devices, of one that claims to be %q:\n%s", claimed, text)
		}
		f.mustCommand(t, "devices", "approve", far.ID[:8])
		conn, err := far.Connect(ctx, reached, token)
		if err != nil {
			t.Fatalf("let in, from %s: %v", here, err)
		}
		_ = conn.CloseNow() // nothing more is asked of it
		f.mustCommand(t, "devices", "revoke", far.ID[:8])
	}
	near := fake.NewDevice(t, "right here", "")
	near.Cookie = f.door.cookie
	conn, err := near.Connect(ctx, f.listen, token)
	if err != nil {
		t.Fatalf("over loopback: %v", err)
	}
	_ = conn.CloseNow()
	f.end(t, c)
}

// TestOverTLS: a browser on another machine finds creel by a name, over creel's own TLS,
// at creel's own port; OpenClaw's page takes it, and works once its device is let in.
func TestOverTLS(t *testing.T) {
	llm := fake.NewLLM(t)
	f := newFolder(t)
	(&stage{folder: f, llm: llm}).writeConfig(t, agentOn(llm)) // without a model the page has no chat
	_, port, err := net.SplitHostPort(f.listen)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := fake.WriteCertificate(t, f.root, publicName)
	f.settings(t, "tls: {cert: "+cert+", key: "+key+"}\nauth: {hosts: ["+publicName+"]}\n")
	c := f.up(t, "--listen", net.JoinHostPort("", port))
	link := c.link(t)
	_, code, ok := strings.Cut(link, "https://127.0.0.1:"+port+"/_creel/login?")
	if !ok {
		t.Fatalf("the link is %q", link)
	}
	browser := f.browse(t, chromedp.IgnoreCertErrors, chromedp.Flag("host-resolver-rules", "MAP "+publicName+" "+networkAddress(t)))
	origin := "https://" + net.JoinHostPort(publicName, port)
	page := browser.open(t, origin+"/_creel/login?"+code+"&next="+openGateway)
	page.until(t, "the page says that it has to be let in", waitsForApproval)
	if text := f.mustCommand(t, "devices"); !strings.Contains(text, networkAddress(t)) {
		t.Errorf("creel devices:\n%s", text)
	}
	f.mustCommand(t, "devices", "approve-all")
	page.until(t, "the page is connected", chatReady)
	browser.close(t)
	f.end(t, c)
}

// networkAddress is an address of this machine that is not loopback's. A connection
// to it that is made here comes from it, too.
func networkAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Fatal("this machine has no IPv4 address but loopback's: connect it to a network")
	return ""
}
