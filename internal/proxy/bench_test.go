package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kibibyte is what the benchmarks' gateway answers. It costs as little as an
// answer can, so that what is measured is the proxy.
var kibibyte = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 1024\r\n\r\n%s", strings.Repeat("x", 1024))

// serveKibibyte answers each head, without looking at it.
func serveKibibyte(c net.Conn) {
	br := bufio.NewReader(c)
	for {
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := c.Write(kibibyte); err != nil {
			return
		}
	}
}

// BenchmarkPass compares the passing of small GETs through creel with that
// through net/http/httputil.ReverseProxy on an http.Transport with room for
// enough idle connections. cpu-us/op is the CPU time of this whole process,
// client and gateway included, which are the same for both; "none" is those two
// alone, to be subtracted.
func BenchmarkPass(b *testing.B) {
	gateway := func(b *testing.B) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				all.Go(func() { defer c.Close(); serveKibibyte(c) })
			}
		})
		b.Cleanup(func() { _ = ln.Close(); all.Wait() })
		return ln.Addr().String()
	}
	b.Run("none", func(b *testing.B) { drive(b, gateway(b)) })
	b.Run("creel", func(b *testing.B) {
		w := newWorld(b, func(p *peer) { serveKibibyte(p.tcp) })
		w.untilReady()
		drive(b, w.addr)
	})
	b.Run("ReverseProxy", func(b *testing.B) {
		tr := &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}
		target := &url.URL{Scheme: "http", Host: gateway(b)}
		rp := &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded(); r.Out.Host = r.In.Host },
			Transport:     tr,
			FlushInterval: -1,
		}
		s := httptest.NewServer(rp)
		b.Cleanup(func() { s.Close(); tr.CloseIdleConnections() })
		drive(b, s.Listener.Addr().String())
	})
}

// drive sends GETs on 16 connections, each waiting for its answer.
func drive(b *testing.B, addr string) {
	const conns = 16
	request := []byte("GET /bench?x=1 HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n")
	work := make(chan struct{}, conns)
	var all sync.WaitGroup
	for range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			br := bufio.NewReader(c)
			for range work {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				n := 0
				for {
					line, err := br.ReadSlice('\n')
					if err != nil {
						b.Error(err)
						return
					}
					if n++; len(line) == 2 {
						break
					}
				}
				if _, err := br.Discard(1024); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-us/op")
}

// cpuTime is the CPU time that this process has had.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdleTunnel measures what an idle WebSocket costs creel in memory.
// bytes/tunnel is what the heap and the stacks have grown by, sockets of client
// and gateway included, which are in this process too.
func BenchmarkIdleTunnel(b *testing.B) {
	w := newWorld(b, func(p *peer) {
		h := p.head()
		if h == nil {
			return
		}
		p.accept(h)
		p.br = nil
		_ = p.tcp.SetDeadline(time.Time{})
		var one [1]byte
		_, _ = p.tcp.Read(one[:])
	})
	const n = 1000
	conns := make([]net.Conn, 0, n)
	for b.Loop() {
		before := memory()
		for range n {
			c, err := net.Dial("tcp", w.addr)
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, c)
			if _, err := io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 512)
			if m, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:m]), "HTTP/1.1 101") {
				b.Fatal(err, string(buf[:m]))
			}
		}
		b.ReportMetric(float64(memory()-before)/n, "bytes/tunnel")
		for _, c := range conns {
			_ = c.Close()
		}
		conns = conns[:0]
	}
}

// memory is what heap and stacks hold.
func memory() int64 {
	runtime.GC()
	runtime.GC() // what pools held is gone after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
