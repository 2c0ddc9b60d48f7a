package proxy

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a tunnel between two connections in memory, which a fake clock can
// wait for.
func pipes(ended chan struct{}) (client, gateway net.Conn, ts *tunnels) {
	client, c := net.Pipe()
	gateway, g := net.Pipe()
	ts = &tunnels{}
	ts.init(nobody{})
	t := &tunnel{
		owner: ts, ended: ended, moved: func() {}, window: time.Second, webSocket: true, over: make(chan struct{}),
		client: side{conn: c, writeIdle: time.Minute}, gateway: side{conn: g, masks: true, writeIdle: time.Minute},
	}
	t.run(nil, nil, nil)
	return client, gateway, ts
}

// answerPings answers pings until the connection ends, and sends everything else
// to got.
func answerPings(c net.Conn, masked bool, got chan<- []byte) {
	defer close(got)
	for {
		first, payload, err := readFrame(c)
		if err != nil {
			return
		}
		if first == 0x80|opPing {
			if _, err := c.Write(frame(0x80|opPong, masked, payload)); err != nil {
				return
			}
			continue
		}
		got <- append([]byte{first}, payload...)
	}
}

func drain(c net.Conn) {
	b := make([]byte, 1000)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// TestPing: silent sides that answer creel's pings stay, and see nothing of each
// other's pongs.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, gateway, ts := pipes(make(chan struct{}))
		fromProxy, atGateway := make(chan []byte, 10), make(chan []byte, 10)
		go answerPings(client, true, fromProxy)
		go answerPings(gateway, false, atGateway)
		time.Sleep(time.Hour) // of the fake clock
		synctest.Wait()
		if len(fromProxy)+len(atGateway) > 0 {
			t.Error("a ping's answer went further than creel")
		}
		if len(ts.open) != 1 {
			t.Fatal("the tunnel has ended")
		}
		_ = client.Close()
		if b := <-atGateway; !bytes.Equal(b[1:], codeOf(1001, "the client is gone")) {
			t.Errorf("the gateway got %q", b)
		}
		_ = gateway.Close()
		synctest.Wait()
		if len(ts.open) != 0 {
			t.Error("the tunnel has not ended")
		}
	})
}

// TestSilence: a side that does not answer pings is given up, and the other told.
func TestSilence(t *testing.T) {
	for _, silent := range []string{"client", "gateway"} {
		synctest.Test(t, func(t *testing.T) {
			client, gateway, ts := pipes(make(chan struct{}))
			begun := time.Now()
			got := make(chan []byte, 10)
			want := codeOf(1001, "the client does not answer pings")
			if silent == "client" {
				go drain(client)
				go answerPings(gateway, false, got)
			} else {
				want = codeOf(1011, "the gateway does not answer pings")
				go drain(gateway)
				go answerPings(client, true, got)
			}
			if b := <-got; !bytes.Equal(b[1:], want) {
				t.Errorf("the other side got %q", b)
			}
			// A ping that meets a write is sent pingSlack later.
			if d := time.Since(begun); d < silentFor-pingSlack || d > silentFor+2*pingSlack {
				t.Errorf("given up after %v, want %v", d, silentFor)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(ts.open) != 0 {
				t.Error("the tunnel has not ended")
			}
			_, _ = client.Close(), gateway.Close()
		})
	}
}

// TestNoPingWithinAFrame: creel's own frames never stand in the middle of
// another.
func TestNoPingWithinAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, gateway, _ := pipes(make(chan struct{}))
		atGateway := make(chan []byte, 10)
		go answerPings(gateway, false, atGateway)
		go drain(client) // which could answer no ping in the middle of its own frame
		whole := frame(0x81, true, []byte("hello"))
		if _, err := client.Write(whole[:8]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*pingAfter + time.Second) // the gateway is due for a ping
		if _, err := client.Write(whole[8:]); err != nil {
			t.Fatal(err)
		}
		if b := <-atGateway; string(b) != "\x81hello" {
			t.Errorf("the gateway got %q", b)
		}
		_, _ = client.Close(), gateway.Close()
		time.Sleep(time.Minute) // for the tunnel's end
	})
}

// TestHeardIsMonotonic: when a side was heard does not follow the wall clock.
func TestHeardIsMonotonic(t *testing.T) {
	var s side
	s.hear()
	if at := s.lastHeard().String(); !strings.Contains(at, " m=") {
		t.Errorf("it is kept as %s", at)
	}
}
