package daemon

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"creel/internal/auth"
	"creel/internal/gateway"
)

// TestKeepRoom: a browser that was refused waits while OpenClaw can tell of its
// approval, and no longer.
func TestKeepRoom(t *testing.T) {
	a := newAttended(t)
	a.room.Refused("laptop", "r0")
	if a.room.Wait(t.Context(), "laptop") {
		t.Error("it waits though nobody would hear that it is let in")
	}
	// waits lets an attempt of a browser begin that was refused, and gives its end.
	waits := func(browser, request string) <-chan struct{} {
		t.Helper()
		begun, ended := make(chan struct{}), make(chan struct{})
		poll(t, "the room is open", func() bool {
			a.room.Refused(browser, request)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return a.room.Wait(ctx, browser)
		})
		a.room.Release()
		a.room.Refused(browser, request)
		go func() {
			defer close(ended)
			close(begun)
			a.room.Wait(t.Context(), browser)
		}()
		<-begun
		return ended
	}
	a.ready(t, 1)
	laptop, phone := waits("laptop", "r1"), waits("phone", "r2")
	a.gw.Push("device.pair.resolved", map[string]any{"requestId": "r2", "deviceId": "d2", "decision": "rejected"})
	a.gw.Push("device.pair.resolved", map[string]any{"requestId": "r1", "deviceId": "d1", "decision": "approved"})
	<-laptop
	select {
	case <-phone:
		t.Error("a browser goes on that was not let in")
	default:
	}
	a.status.set(gateway.Status{State: gateway.Stopped})
	<-phone
}

// TestKeepRoomAgain: what kept the room for an engine that was left may end when the room
// is kept for the one after it, which goes on.
func TestKeepRoomAgain(t *testing.T) {
	a := newAttended(t)
	a.ready(t, 1)
	waits := func() bool {
		a.room.Refused("laptop", "r1")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return a.room.Wait(ctx, "laptop")
	}
	poll(t, "the room is open", waits)
	a.room.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.keepRoom(ctx, a.client.Load())
	if !waits() {
		t.Error("the room is shut, though approvals are heard of")
	}
}

// TestBrowserOf: only a page's handshake by somebody with a session is told from all
// others.
func TestBrowserOf(t *testing.T) {
	session := auth.Principal{Name: "owner", Kind: auth.KindSession, Session: "s1"}
	for _, tt := range []struct {
		who    auth.Principal
		origin string
		known  bool
	}{
		{session, "https://creel.example", true},
		{session, "", false}, // no page
		{auth.Principal{Name: "owner", Kind: auth.KindLocal}, "https://creel.example", false},
		{auth.Principal{Name: "anna", Kind: auth.KindAccess}, "https://creel.example", false},
		{auth.Principal{Name: "ci", Kind: auth.KindToken}, "https://creel.example", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Origin", tt.origin)
		if got := browserOf(r.WithContext(auth.With(r.Context(), tt.who))); got != "" != tt.known {
			t.Errorf("%+v from %q: %q", tt.who, tt.origin, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(auth.With(t.Context(), session))
	r.Header.Set("Origin", "https://a.example")
	a := browserOf(r)
	r.Header.Set("Origin", "https://b.example")
	if browserOf(r) == a {
		t.Error("two origins are one device")
	}
}
