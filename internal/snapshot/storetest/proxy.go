package storetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// Proxy stands between a store and its server and does what networks and servers
// do on a bad day.
type Proxy struct {
	Addr string // host:port to connect to

	mu    sync.Mutex
	fault func(*http.Request) Fault
	seen  int
	wrong int
}

// Fault answers a request instead of the server; nil lets it through.
type Fault func(w http.ResponseWriter, r *http.Request, pass http.Handler)

// NewProxy starts a proxy in front of addr, for the length of the test.
func NewProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: ln.Addr().String()}
	transport := &http.Transport{DisableCompression: true}
	pass := &httputil.ReverseProxy{
		// The host stays: it is part of what is signed.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: "http", Host: addr, Path: r.In.URL.Path, RawPath: r.In.URL.RawPath, RawQuery: r.In.URL.RawQuery}
		},
		Transport:    transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     nil,
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen++
		var f Fault
		if p.fault != nil {
			f = p.fault(r)
		}
		if f != nil {
			p.wrong++
		}
		p.mu.Unlock()
		if f != nil {
			f(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln) // ends with Close
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
		transport.CloseIdleConnections()
	})
	return p
}

// Set chooses what happens to each request from now on; it is called one at a time.
func (p *Proxy) Set(fault func(*http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// Seen is how many requests there were.
func (p *Proxy) Seen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// Faulted is how many requests were not let through.
func (p *Proxy) Faulted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong
}

// Answer answers with an error of S3.
func Answer(status int, code string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>said by the test</Message></Error>`, code)
	}
}

// Hang never answers.
func Hang(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// Late passes the request on and keeps the answer until nobody waits for it any more.
func Late(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	pass.ServeHTTP(nowhere{http.Header{}}, r.WithContext(context.WithoutCancel(r.Context())))
	<-r.Context().Done()
}

// Reset ends the connection before an answer.
func Reset(w http.ResponseWriter, r *http.Request, _ http.Handler) { reset(w) }

// Swallow passes the request on and keeps the answer.
func Swallow(r *http.Request, pass http.Handler) { pass.ServeHTTP(nowhere{http.Header{}}, r) }

// ResetAfterUpload passes the request on and loses the answer.
func ResetAfterUpload(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	Swallow(r, pass)
	reset(w)
}

// HalfUpload takes half of what is sent.
func HalfUpload(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	reset(w)
}

// HalfDownload gives half of what is asked for.
func HalfDownload(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	pass.ServeHTTP(&half{ResponseWriter: w}, r)
	panic(http.ErrAbortHandler)
}

func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // RST
	_ = conn.Close()
}

type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

type half struct{ http.ResponseWriter }

func (h *half) Write(p []byte) (int, error) {
	if _, err := h.ResponseWriter.Write(p[:len(p)/2]); err != nil {
		return 0, err
	}
	return 0, io.ErrShortWrite
}
