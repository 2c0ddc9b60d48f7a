package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// ownMetrics is the path of a reverse proxy's own counters.
const ownMetrics = "/_bench/metrics"

// reverseProxy is the standard library's proxy with nothing around it: what any
// Go program that passes requests on pays at least.
type reverseProxy struct {
	// pool gives it a pool of buffers to copy answers with, as its documentation
	// offers. Without one it makes a buffer of 32 KiB for each answer.
	pool bool
}

func (c reverseProxy) name() string {
	if c.pool {
		return "ReverseProxy with a BufferPool"
	}
	return "ReverseProxy"
}

func (c reverseProxy) start(ctx context.Context, b *bench, dir string, g gatewayOptions) (*standing, error) {
	behind, err := freeAddr()
	if err != nil {
		return nil, err
	}
	gateway, err := startChild(filepath.Join(dir, "gateway"), append(os.Environ(), "PORT="+portOf(behind)), g.command(b, dir)...)
	if err != nil {
		return nil, err
	}
	s, err := c.startBefore(ctx, b, dir, behind, gateway.kill)
	if err != nil {
		return nil, errors.Join(err, gateway.kill())
	}
	return s, nil
}

// startBefore starts the proxy in front of a gateway. stopGateway becomes part of
// its stop, unless it fails.
func (c reverseProxy) startBefore(ctx context.Context, b *bench, dir, behind string, stopGateway func() error) (*standing, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	proxy, err := startChild(filepath.Join(dir, "proxy"), os.Environ(), b.self, roleReverseProxy, "-listen", addr, "-to", behind, fmt.Sprintf("-pool=%t", c.pool))
	if err != nil {
		return nil, err
	}
	if err := awaitAnswer(ctx, addr, proxy); err != nil {
		return nil, errors.Join(err, proxy.kill())
	}
	stop := func() error { return errors.Join(proxy.kill(), stopGateway()) }
	return &standing{addr: addr, pids: []int{proxy.pid()}, metrics: ownMetrics, stop: stop}, nil
}

// runReverseProxy is the role of the standard library's proxy.
func runReverseProxy(args []string) error {
	flags := flag.NewFlagSet(roleReverseProxy, flag.ContinueOnError)
	listen := flags.String("listen", "", "address that clients connect to")
	to := flags.String("to", "", "address of the gateway")
	pool := flags.Bool("pool", false, "with a pool of buffers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	return http.Serve(l, newReverseProxy(*to, *pool))
}

func newReverseProxy(to string, pool bool) http.Handler {
	target := &url.URL{Scheme: "http", Host: to}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		// The default of two idle connections would make it dial all the time.
		Transport: &http.Transport{
			MaxIdleConns: 1024, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
			DisableCompression: true, // it is to pass answers on, not to ask for others
		},
	}
	if pool {
		proxy.BufferPool = &bufferPool{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == ownMetrics {
			answerMetrics(w)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// answerMetrics gives the counters under the names that Go programs usually give
// them for Prometheus.
func answerMetrics(w http.ResponseWriter) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d\n%s %d\n%s %d\n%s %d\n", metricMallocs, m.Mallocs, metricAllocBytes, m.TotalAlloc, metricHeapInUse, m.HeapInuse, metricStackInUse, m.StackInuse)
	answerBytes(w, b.Bytes(), int64(b.Len()))
}

// bufferPool is an httputil.BufferPool.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }
