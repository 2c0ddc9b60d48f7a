package auth

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestUntaken: an answer of creel's own that its reader does not take comes to an end;
// one that makes a pause of its own does not, nor one that has its own deadlines.
func TestUntaken(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			const within = 50 * time.Millisecond
			ended := make(chan error, 1)
			flood := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				piece := make([]byte, 1<<20)
				for {
					if _, err := w.Write(piece); err != nil {
						ended <- err
						return
					}
				}
			})
			pause := func(own bool) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					control := http.NewResponseController(w)
					if own {
						_ = control.SetWriteDeadline(time.Time{})
					}
					for range 2 {
						_, _ = w.Write([]byte("half"))
						if own {
							_ = control.Flush()
						}
						quiet := time.NewTimer(3 * within) // what is tested is that this does no harm
						<-quiet.C
					}
				})
			}
			w := newWorld(t, nil)
			w.gate.untaken = within
			server := httptest.NewUnstartedServer(w.gate.Handler([]Route{
				{Pattern: "GET /_creel/flood", Handler: flood},
				{Pattern: "GET /_creel/pause", Handler: pause(false)},
				{Pattern: "GET /_creel/own", Handler: pause(true)},
			}, http.NotFoundHandler()))
			server.EnableHTTP2 = protocol == "HTTP/2.0"
			server.StartTLS()
			t.Cleanup(server.Close)
			resp, err := server.Client().Get(server.URL + "/_creel/flood")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.Proto != protocol {
				t.Fatalf("it is %s", resp.Proto)
			}
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("what nobody reads is written for ever")
			}
			for _, path := range []string{"/_creel/pause", "/_creel/own"} {
				resp, err := server.Client().Get(server.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				if a := w.read(resp); a.body != "halfhalf" {
					t.Errorf("%s: %v", path, a)
				}
			}
		})
	}
}

// TestUntakenStream: over HTTP/2 an answer that fits into the server's buffer is written
// when its handler has returned. It comes to an end, too, if its client takes nothing of
// it: a stranger needs no leave to ask.
func TestUntakenStream(t *testing.T) {
	w := newWorld(t, nil)
	w.gate.untaken = 50 * time.Millisecond
	server := httptest.NewUnstartedServer(w.gate.Handler(ownRoutes(), http.NotFoundHandler()))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	for _, path := range []string{"/x", "/_creel/healthz", "/_creel/login", "/_creel/metrics"} {
		t.Run(path, func(t *testing.T) {
			c, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
				t.Fatal(err)
			}
			var block bytes.Buffer
			e := hpack.NewEncoder(&block)
			for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: path}} {
				if err := e.WriteField(f); err != nil {
					t.Fatal(err)
				}
			}
			f := http2.NewFramer(c, c)
			if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
				t.Fatal(err)
			}
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
				t.Fatal(err)
			}
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if _, reset := frame.(*http2.RSTStreamFrame); reset {
					return
				}
			}
		})
	}
}
