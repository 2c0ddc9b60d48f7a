package proxy

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"creel/internal/gateway"
	"creel/internal/problem"
	"creel/internal/upstream"
)

const (
	// pingAfter is how long a WebSocket may be silent before that side is
	// pinged. Proxies on the way commonly give up idle connections after a minute.
	pingAfter = 25 * time.Second
	// silentFor is how long a side may be silent, pings notwithstanding, before
	// it is taken for dead.
	silentFor = 3 * pingAfter
	// pingSlack is how early a ping may be: silence is looked at every pingAfter.
	pingSlack = time.Second
)

// pingPayload marks creel's own pings, so that their pongs go no further. It is
// drawn anew with every process: a peer cannot know it beforehand.
var pingPayload = "creel-" + rand.Text()[:10]

// switchProtocols joins the client's connection and the gateway's, after the
// gateway has agreed to an upgrade.
func (x *passage) switchProtocols(l *gateway.Lease, ex *upstream.Exchange, resp *http.Response) *failure {
	agreed := upgradeField(resp.Header)
	switch {
	case x.upgrade == "" || !agrees(x.upgrade, agreed):
		ex.End(false)
		x.problem(problemBadAnswer, fmt.Sprintf("it switched to %q, where %q was asked for", agreed, x.upgrade), nil)
		return nil
	case x.proxy.tunnels.refuses():
		ex.End(false)
		x.problem(problemLeaving, "no more connections are upgraded", func(d *problem.Document) { d.RetryAfter = 2 * time.Second })
		return nil
	}
	// The tunnel counts before the server ceases to count the connection: at no
	// moment there is none of the two.
	x.proxy.opts.Recorder.WebSockets(1)
	client, clientBuf, err := x.ctl.Hijack()
	if err != nil {
		x.proxy.opts.Recorder.WebSockets(-1)
		ex.End(false)
		x.problem(problemUpgrade, "this connection cannot be upgraded: "+err.Error(), nil)
		return nil
	}
	server, serverBuf, ok := ex.Hijack()
	if !ok { // the client left in this moment
		_ = client.Close()
		x.proxy.opts.Recorder.WebSockets(-1)
		ex.End(false)
		x.proxy.opts.Recorder.Request(Canceled)
		return nil
	}
	idle := x.set.Timeouts.WriteIdle
	t := &tunnel{
		owner: &x.proxy.tunnels, ended: l.Ended(), moved: l.Mover(), window: x.set.Replay.CrashWindow,
		webSocket: strings.EqualFold(agreed, "websocket"), over: make(chan struct{}),
		client: side{conn: client, writeIdle: idle}, gateway: side{conn: server, masks: true, writeIdle: idle},
	}
	if worded := x.proxy.opts.Wording; worded != nil {
		t.client.frames.words = newWording(worded(x.req))
	}
	if pause := x.proxy.opts.Pause; pause != nil {
		t.pause = pause(x.req)
	}
	if watch := x.proxy.opts.Watch; watch != nil {
		t.forget = watch(x.req.Context(), func() { go t.goAway(closePolicy, "what let you in has ended; sign in again") }) // ends with the tunnel
	}
	l.Served()
	x.proxy.opts.Recorder.Request(x.outcome())
	t.run(x.proxy.switchingHead(resp, agreed), pending(clientBuf.Reader), pending(serverBuf))
	return nil
}

// agrees tells whether a protocol is one of those that were asked for.
func agrees(asked, agreed string) bool {
	for p := range strings.SplitSeq(asked, ",") {
		if strings.EqualFold(strings.TrimSpace(p), agreed) {
			return true
		}
	}
	return false
}

// switchingHead is the head of the 101 answer as the client gets it.
func (p *Proxy) switchingHead(resp *http.Response, upgrade string) []byte {
	h := http.Header{}
	p.copyHeader(h, resp.Header)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", upgrade)
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&b) // a Builder takes everything
	b.WriteString("\r\n")
	return []byte(b.String())
}

// pending gives what a reader has read ahead, so that the reader itself can go.
func pending(br *bufio.Reader) []byte {
	b, _ := br.Peek(br.Buffered()) // what is buffered can be had without error
	return append([]byte(nil), b...)
}

// tunnel joins two connections, each of which is relayed to the other by a
// goroutine that holds no buffer while there is nothing to relay.
type tunnel struct {
	owner     *tunnels
	ended     <-chan struct{} // the instance has ended
	moved     func()          // something came from it
	window    time.Duration
	webSocket bool
	client    side
	gateway   side
	forget    func()                     // nil: nobody watches whether the client may have it
	pause     func(over <-chan struct{}) // nil: what the client sends is passed on as it comes
	pinging   sync.Mutex
	pinger    *time.Timer  // nil: no more pings
	left      atomic.Int32 // relays that have ended
	ending    atomic.Bool
	over      chan struct{} // closed once the end has been dealt with
	closing   sync.Once
}

// run begins the relaying, with what has been read ahead from either side. It
// returns at once; both connections are the tunnel's from then on.
func (t *tunnel) run(head, fromClient, fromGateway []byte) {
	t.client.hear()
	t.gateway.hear()
	if !t.owner.add(t) {
		t.shut()
		t.unwatch()
		t.owner.recorder.WebSockets(-1)
		return
	}
	if err := t.client.relay(head, false); err != nil {
		t.shut() // both relays see it
	}
	if t.webSocket {
		t.pinging.Lock()
		t.pinger = time.AfterFunc(pingAfter, t.ping)
		t.pinging.Unlock()
	}
	go func() {
		if t.pause != nil {
			t.pause(t.over)
		}
		t.relay(&t.client, &t.gateway, fromClient)
	}()
	go t.relay(&t.gateway, &t.client, fromGateway)
}

// relay copies from one side to the other until either ends.
func (t *tunnel) relay(from, to *side, first []byte) {
	defer t.leave()
	var sent error
	use := func(b []byte) error {
		from.hear()
		if from == &t.gateway {
			t.moved()
		}
		sent = to.relay(b, t.webSocket)
		return sent
	}
	err := use(first)
	for r := newIdleReader(from.conn); err == nil; {
		err = r.next(use)
	}
	switch {
	case errors.Is(sent, os.ErrDeadlineExceeded):
		from = to // it does not take what it is sent
	case sent != nil && !errors.Is(sent, errOverSide):
		// The other side's connection is broken. What it has sent before is
		// still to be relayed; the relay that does will see the end.
		return
	case !t.webSocket && errors.Is(err, io.EOF) && to.closeWrite() == nil:
		return // the other direction goes on
	}
	t.end(func() { t.endOf(from) })
}

// end deals with the tunnel's end as its first caller says; the others wait.
func (t *tunnel) end(deal func()) {
	if !t.ending.CompareAndSwap(false, true) {
		<-t.over
		return
	}
	defer close(t.over)
	defer t.shut()
	deal()
}

// endOf deals with the end of one side: the other is told.
func (t *tunnel) endOf(s *side) {
	switch {
	case !t.webSocket:
	case s == &t.client:
		t.gateway.sayClose(closeGoingAway, "the client is gone")
	case t.client.told():
		t.client.linger()
	default:
		if t.client.sayClose(t.gatewayEnd()) {
			t.client.linger()
		}
	}
}

// gatewayEnd finds out why the gateway's side ended without a close frame.
func (t *tunnel) gatewayEnd() (code uint16, reason string) {
	if t.owner.leaving.Load() {
		return closeServiceRestart, "the gateway is gone, and creel was replaced; reconnect"
	}
	wait := time.NewTimer(t.window)
	defer wait.Stop()
	select {
	case <-t.ended:
		return closeServiceRestart, "the gateway is being restarted; reconnect"
	case <-wait.C:
		return closeInternalError, "the gateway broke the connection"
	}
}

// goAway tells both sides that creel closes the tunnel.
func (t *tunnel) goAway(code uint16, reason string) {
	t.end(func() {
		if !t.webSocket {
			return
		}
		// The client first: the gateway answers with a close frame of its own,
		// which would be relayed, and tell the client something else. So does the client,
		// whose answer is not relayed before the gateway is told.
		t.gateway.take()
		told := t.client.sayClose(code, reason)
		t.gateway.close(closeGoingAway, reason)
		t.gateway.mu.Unlock()
		if told {
			t.client.linger()
		}
	})
}

// ping pings sides that have been silent, and gives up on those that stay so.
func (t *tunnel) ping() {
	next := pingAfter
	for _, s := range []*side{&t.client, &t.gateway} {
		switch t.look(s) {
		case dead:
			t.end(func() { t.endSilent(s) })
			return
		case busy:
			next = pingSlack // try again soon
		}
	}
	t.pinging.Lock()
	defer t.pinging.Unlock()
	if t.pinger != nil {
		t.pinger.Reset(next)
	}
}

// pulse is what there is to say of a side's life.
type pulse int

const (
	alive pulse = iota // or pinged
	busy               // due for a ping, which cannot be sent now
	dead               // has not answered pings for too long
)

// look pings a side if it is due. Only silence after a ping counts against it.
func (t *tunnel) look(s *side) pulse {
	now, heard := time.Now(), s.lastHeard()
	if !s.pinged.IsZero() && heard.After(s.pinged) {
		s.pinged = time.Time{}
	}
	switch {
	case now.Sub(heard)+pingSlack < pingAfter:
		return alive
	case !s.pinged.IsZero() && now.Sub(s.pinged)+pingSlack >= silentFor-pingAfter:
		return dead
	case !s.ping():
		return busy
	}
	if s.pinged.IsZero() {
		s.pinged = now
	}
	return alive
}

// endSilent gives up on a side that does not answer pings.
func (t *tunnel) endSilent(s *side) {
	if s == &t.client {
		t.gateway.sayClose(closeGoingAway, "the client does not answer pings")
		return
	}
	if t.client.sayClose(closeInternalError, "the gateway does not answer pings") {
		t.client.linger()
	}
}

// shut breaks both connections, which ends both relays.
func (t *tunnel) shut() {
	t.closing.Do(func() {
		_ = t.client.conn.Close() // nothing can be done about an error
		_ = t.gateway.conn.Close()
	})
}

// leave is the end of one relay; the second one signs the tunnel off.
func (t *tunnel) leave() {
	if t.left.Add(1) < 2 {
		return
	}
	t.shut()
	t.pinging.Lock()
	if t.pinger != nil {
		t.pinger.Stop()
		t.pinger = nil
	}
	t.pinging.Unlock()
	t.unwatch()
	t.owner.remove(t)
}

func (t *tunnel) unwatch() {
	if t.forget != nil {
		t.forget()
	}
}
