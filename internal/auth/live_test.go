package auth

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"creel/internal/event"
)

// opened is a request that stays open, as a program has it.
type opened struct {
	ended chan error
}

func (w *world) open(header http.Header) *opened {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), "GET", w.server.URL+"/stream", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header = header
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil || resp.StatusCode != 200 {
		w.t.Fatal(resp, err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() }) // what is read of it is over
	o := &opened{make(chan error, 1)}
	go func() {
		_, err := resp.Body.Read(make([]byte, 1))
		o.ended <- err
	}()
	return o
}

// TestWhatIsOpenEnds: what a session or a token has open, whatever it asked for, ends
// with it, and nobody else's does.
func TestWhatIsOpenEnds(t *testing.T) {
	w := newWorld(t, nil)
	session := w.signIn()
	sessionID := w.gate.Sessions()[0].ID
	token := func() (http.Header, string) {
		t.Helper()
		secret, made, err := w.gate.CreateToken("some", []Scope{Use}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{"Authorization": {"Bearer " + secret.Reveal()}}, made.ID
	}
	bearer, bearerID := token()
	password, passwordID := token()
	for _, row := range []struct {
		what string
		show http.Header
		id   string
		end  func(string) error
	}{
		{"a session", with(session, "Accept", "text/event-stream"), sessionID, w.gate.RevokeSession},
		{"a token", bearer, bearerID, w.gate.RevokeToken},
		{"a token in Basic", basic(password), passwordID, w.gate.RevokeToken},
	} {
		other, otherID := token()
		stream, theirs := w.open(row.show), w.open(other)
		watched, open := w.gate.until(t.Context(), &Principal{Kind: KindToken, Token: otherID})
		if err := row.end(row.id); err != nil {
			t.Fatal(err)
		}
		if err := <-stream.ended; err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: what it has open goes on: %v", row.what, err)
		}
		if watched.Err() != nil || len(theirs.ended) != 0 {
			t.Errorf("%s: another's is closed, too", row.what)
		}
		if err := w.gate.RevokeToken(otherID); err != nil {
			t.Fatal(err)
		}
		if context.Cause(watched) != errEnded {
			t.Errorf("%s: the other's is not told at once: %v", row.what, context.Cause(watched))
		}
		if err := <-theirs.ended; err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the other's goes on in the end: %v", row.what, err)
		}
		open.done()
	}
	if w.count(event.SessionRevoked) != 1 || w.count(event.TokenRevoked) != 5 {
		t.Error("the journal does not know of it")
	}
}

// TestWhatIsOpenRunsOut: what ends by itself takes along what it has open: this is
// what the gate looks at every two seconds.
func TestWhatIsOpenRunsOut(t *testing.T) {
	w := newWorld(t, nil)
	w.signIn()
	session := w.gate.Sessions()[0].ID
	_, good, err := w.gate.CreateToken("good", []Scope{Use}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.gate.state.addToken("creel_over", Token{ID: "over", Name: "over", Scopes: []Scope{Use}, Expires: time.Now().Add(-time.Second)}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		what string
		who  Principal
		ends bool
	}{
		{"a session", Principal{Kind: KindSession, Session: session}, false},
		{"a session that is gone", Principal{Kind: KindSession, Session: "gone"}, true},
		{"a token", Principal{Kind: KindToken, Token: good.ID}, false},
		{"a token whose time is over", Principal{Kind: KindToken, Token: "over"}, true},
		{"a token that is gone", Principal{Kind: KindToken, Token: "gone"}, true},
		{"Access", Principal{Kind: KindAccess, Until: time.Now().Add(time.Hour)}, false},
		{"Access whose time is over", Principal{Kind: KindAccess, Until: time.Now().Add(-time.Second)}, true},
		{"a proxy's header", Principal{Kind: KindHeader}, false},
		{"nobody is asked", Principal{Kind: KindLocal}, false},
	} {
		ctx, open := w.gate.until(t.Context(), &row.who)
		told := make(chan struct{}, 1)
		forget := w.gate.Watch(With(t.Context(), row.who), func() { told <- struct{}{} })
		w.gate.endStreams()
		if ended := errors.Is(context.Cause(ctx), errEnded); ended != row.ends || (len(told) == 1) != row.ends {
			t.Errorf("%s: a request ends: %v; a connection: %d", row.what, ended, len(told))
		}
		forget()
		open.done()
		if n := len(w.gate.streams.open); n != 0 {
			t.Fatalf("%s: %d are still watched", row.what, n)
		}
	}
}

// basic shows a token as the password of Basic.
func basic(bearer http.Header) http.Header {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth("x", bearer.Get("Authorization")[len("Bearer "):])
	return r.Header
}

// TestBasicIsAmbient: browsers send Basic credentials again by themselves, so that
// another site's page may not make use of them; bearer tokens they do not.
func TestBasicIsAmbient(t *testing.T) {
	w := newWorld(t, nil)
	bearer := w.token(OwnerScopes...)
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	lured := []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}
	for _, row := range []struct {
		what, method, path string
		header             http.Header
		want               string
	}{
		{"a program", "POST", "/_creel/api/v1/restart", basic(bearer), "200"},
		{"a program at the gateway", "POST", "/v1/chat/completions", basic(bearer), "200"},
		{"a program's WebSocket", "GET", "/ws", with(basic(bearer), socket...), "200"},
		{"another site's page", "POST", "/_creel/api/v1/restart", with(basic(bearer), lured...), "403 cross_origin"},
		{"another site's page at the gateway", "POST", "/v1/chat/completions", with(basic(bearer), lured...), "403 cross_origin"},
		{"another site's WebSocket", "GET", "/ws", with(with(basic(bearer), socket...), lured...), "403 cross_origin"},
		{"a page that was told a token", "POST", "/_creel/api/v1/restart", with(bearer, lured...), "200"},
		{"a WebSocket that was told a token", "GET", "/ws", with(with(bearer, socket...), lured...), "200"},
	} {
		if got := short(w.do(request{method: row.method, path: row.path, header: row.header})); got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}
