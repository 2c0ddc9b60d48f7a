package crash

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"creel/internal/api"
	"creel/test/crashgw"
	"creel/test/harness"
)

// TestTLS: with a certificate clients speak HTTP/2 or HTTP/1.1 over TLS; a
// crash is held and replayed for either, and a WebSocket is told 1012.
func TestTLS(t *testing.T) {
	c := prepare(t, crashgw.Options{BootDelay: 80 * time.Millisecond})
	roots := c.certify()
	c.Launch()
	before := c.WaitFor("ready", ready)
	if !strings.HasPrefix(before.Creel.Link, "https://") {
		t.Errorf("the link is %s", before.Creel.Link)
	}
	for n, major := range []int{2, 1} {
		var protocols http.Protocols
		protocols.SetHTTP1(major == 1)
		protocols.SetHTTP2(major == 2)
		client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: &protocols}}
		c.Crash()
		resp, err := client.Get("https://" + c.Addr + "/item?id=x")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != major {
			t.Errorf("HTTP/%d: %s %s %v", major, resp.Proto, body, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
		c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == before.Generation+uint64(n)+1 })
	}
	c.socketOverTLS(roots)
}

// TestRenewedCertificate: a reload takes a certificate that was renewed in its place for
// connections that come from then on; one that cannot be used is refused, with all that
// came with it, and the one before goes on.
func TestRenewedCertificate(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	first := c.certify()
	c.Launch()
	c.WaitFor("ready", ready)
	trusts := func(roots *x509.CertPool) error {
		client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
		resp, err := client.Get("https://" + c.Addr + "/item?id=x")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	second := c.certify()
	if err := trusts(first); err != nil {
		t.Errorf("before the reload: %v", err)
	}
	c.reload()
	if err := trusts(second); err != nil || trusts(first) == nil {
		t.Errorf("after it: %v, and the old one is shown still: %v", err, trusts(first) == nil)
	}
	third := c.certify()
	if err := os.WriteFile(filepath.Join(c.Dir, "key.pem"), []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, log, code := c.command("reload"); code != 2 || !strings.Contains(log, "tls.cert") || !strings.Contains(log, "nothing was changed") {
		t.Errorf("exit code %d: %s", code, log)
	}
	if err := trusts(second); err != nil || trusts(third) == nil {
		t.Errorf("after the reload that was refused: %v", err)
	}
}

// socketOverTLS opens a WebSocket, crashes the gateway and reads the close code.
func (c *creel) socketOverTLS(roots *x509.CertPool) {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), harness.Patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	conn, _, err := websocket.Dial(ctx, "wss://"+c.Addr+"/ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		c.T.Fatal(err)
	}
	defer conn.CloseNow()
	c.Crash()
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		c.T.Errorf("the socket ended with %v", err)
	}
	c.WaitFor("ready", ready)
}

// certify gives creel a certificate of its own making.
func (c *creel) certify() *x509.CertPool {
	c.T.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.T.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		c.T.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.T.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{"cert.pem": certPEM, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(c.Dir, name), content, 0o600); err != nil {
			c.T.Fatal(err)
		}
	}
	if err := os.WriteFile(c.ConfigPath(), []byte(harness.Settings+"tls: {cert: cert.pem, key: key.pem}\n"), 0o600); err != nil {
		c.T.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots
}
