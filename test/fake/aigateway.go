package fake

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// AIGatewayHost is where Cloudflare's AI gateways are.
const AIGatewayHost = "gateway.ai.cloudflare.com"

// AIGateway is one of Cloudflare's AI gateways with Workers AI behind it, and the
// way to it: a proxy for HTTPS that leads there and nowhere else, and a certificate
// authority that has signed for its name. Whoever has both (see Environ) reaches it
// at its real address, and checks who it is.
type AIGateway struct {
	Account, Gateway string // in its address
	Key              string // nobody's

	model *LLM
	proxy *httptest.Server
	ca    string // file
	cert  tls.Certificate

	mu       sync.Mutex
	requests []AIGatewayRequest
	refused  []string // hosts that others wanted to reach
	conns    map[net.Conn]bool
	served   sync.WaitGroup
}

// AIGatewayRequest is a request that the gateway has got.
type AIGatewayRequest struct {
	Method, Path, Model, Authorization string
	Status                             int // of the answer
}

// NewAIGateway starts one that ends with the test. The answers are the model's.
func NewAIGateway(t testing.TB, model *LLM) *AIGateway {
	t.Helper()
	f := &AIGateway{Account: "0123456789abcdef0123456789abcdef", Gateway: "my-gateway", Key: "FAKE-cf-aig-8f2d6c1e4b7a9035", model: model, conns: map[net.Conn]bool{}}
	var authority []byte
	authority, f.cert = certify(t, AIGatewayHost)
	f.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(f.ca, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	f.proxy = httptest.NewServer(http.HandlerFunc(f.connect))
	t.Cleanup(func() {
		f.proxy.Close()
		f.mu.Lock()
		for conn := range f.conns {
			_ = conn.Close() // its client may have gone
		}
		f.mu.Unlock()
		f.served.Wait()
	})
	return f
}

// Environ are the variables with which a program finds it.
func (f *AIGateway) Environ() []string {
	return []string{"HTTPS_PROXY=" + f.proxy.URL, "SSL_CERT_FILE=" + f.ca}
}

// Path is where Workers AI takes chats, in OpenAI's format.
func (f *AIGateway) Path() string {
	return "/v1/" + f.Account + "/" + f.Gateway + "/workers-ai/v1/chat/completions"
}

// Requests gives what it has got so far.
func (f *AIGateway) Requests() []AIGatewayRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// Refused gives the addresses that clients of the proxy wanted to reach besides.
func (f *AIGateway) Refused() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.refused)
}

// connect is the proxy: it leads to the gateway.
func (f *AIGateway) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || r.Host != AIGatewayHost+":443" {
		f.mu.Lock()
		f.refused = append(f.refused, r.Host)
		f.mu.Unlock()
		http.Error(w, "there is no way to "+r.Host, http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusOK)
	conn, early, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the client is gone
	}
	f.mu.Lock()
	f.conns[conn] = true
	f.mu.Unlock()
	f.served.Go(func() { // ends with the connection
		f.serve(&earlyConn{conn, early.Reader})
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, conn)
	})
}

// serve serves one connection to the gateway.
func (f *AIGateway) serve(conn net.Conn) {
	server := &http.Server{
		Handler:           http.HandlerFunc(f.answer),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that goes away says so itself
	}
	once := &oneConn{conn: tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{f.cert}}), closed: make(chan struct{})}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			once.Close()
		}
	}
	_ = server.Serve(once) // it ends with the connection, whatever ended that
}

// answer is the gateway.
func (f *AIGateway) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	var asked struct{ Model string }
	_ = json.Unmarshal(body, &asked) // what is no JSON names no model
	got := AIGatewayRequest{Method: r.Method, Path: r.URL.Path, Model: asked.Model, Authorization: r.Header.Get("Authorization"), Status: http.StatusOK}
	switch {
	case r.Method != http.MethodPost || got.Path != f.Path():
		got.Status = http.StatusNotFound
	case got.Authorization != "Bearer "+f.Key && r.Header.Get("Cf-Aig-Authorization") != "Bearer "+f.Key:
		got.Status = http.StatusUnauthorized
	}
	f.mu.Lock()
	f.requests = append(f.requests, got)
	f.mu.Unlock()
	if got.Status != http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(got.Status)
		writeJSON(w, map[string]any{"success": false, "errors": []any{map[string]any{"message": http.StatusText(got.Status)}}})
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.model.ServeHTTP(w, r)
}

// earlyConn is a connection of which some bytes have been read already.
type earlyConn struct {
	net.Conn
	early *bufio.Reader
}

func (c *earlyConn) Read(p []byte) (int, error) { return c.early.Read(p) }

// oneConn is a listener with one connection, that ends with it.
type oneConn struct {
	mu     sync.Mutex
	conn   net.Conn
	given  bool
	ended  bool
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	first := !l.given
	l.given = true
	l.mu.Unlock()
	if first {
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		close(l.closed)
	}
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// certify makes a certificate authority and a certificate of its for a host.
func certify(t testing.TB, host string) (authority []byte, cert tls.Certificate) {
	t.Helper()
	now := time.Now()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	otherKey, otherErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err, otherErr); err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "creel's tests"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	leafDER, leafErr := x509.CreateCertificate(rand.Reader, leaf, ca, otherKey.Public(), key)
	if err := errors.Join(err, leafErr); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: otherKey}
}
