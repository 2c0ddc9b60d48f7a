package openclaw

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// stays tells how long an attempt of a browser waits.
func stays(ctx context.Context, w *WaitingRoom, browser string) time.Duration {
	began := time.Now()
	w.Wait(ctx, browser)
	return time.Since(began)
}

func TestWaitingRoom(t *testing.T) {
	for name, play := range map[string]func(*testing.T, *WaitingRoom){
		"nobody waits who was not refused": func(t *testing.T, w *WaitingRoom) {
			w.Refused("laptop", "r1")
			if got := stays(t.Context(), w, "phone"); got != 0 {
				t.Errorf("a device that was never refused waits %v", got)
			}
		},
		"let in": func(t *testing.T, w *WaitingRoom) {
			w.Refused("laptop", "r1")
			w.Refused("phone", "r2")
			time.AfterFunc(7*time.Second, func() { w.Approved("r1") })
			laptop, phone := make(chan time.Duration, 1), make(chan time.Duration, 1)
			go func() { laptop <- stays(t.Context(), w, "laptop") }()
			go func() { phone <- stays(t.Context(), w, "phone") }()
			if got := <-laptop; got != 7*time.Second {
				t.Errorf("the device that was let in waits %v", got)
			}
			if got := <-phone; got != openWait {
				t.Errorf("the other one waits %v", got)
			}
			if got := stays(t.Context(), w, "laptop"); got != 0 {
				t.Errorf("a device that is in waits %v when it connects again", got)
			}
		},
		"the tabs of one browser are one device": func(t *testing.T, w *WaitingRoom) {
			done := make(chan time.Duration, 2)
			w.Refused("laptop", "r1")
			go func() { done <- stays(t.Context(), w, "laptop") }()
			synctest.Wait()
			w.Refused("laptop", "r2") // supersedes r1
			go func() { done <- stays(t.Context(), w, "laptop") }()
			time.Sleep(3 * time.Second) // synctest's clock
			w.Approved("r2")
			for range 2 {
				if got := <-done; got != 3*time.Second {
					t.Errorf("a tab waits %v", got)
				}
			}
		},
		"one attempt for each refusal": func(t *testing.T, w *WaitingRoom) {
			w.Refused("laptop", "r1")
			if got := stays(t.Context(), w, "laptop"); got != openWait {
				t.Errorf("it waits %v", got)
			}
			if got := stays(t.Context(), w, "laptop"); got != 0 {
				t.Errorf("it waits %v though nobody has refused it since", got)
			}
			w.Refused("laptop", "r2")
			if got := stays(t.Context(), w, "laptop"); got != openWait {
				t.Errorf("it waits %v", got)
			}
		},
		"approved before the refusal is heard of": func(t *testing.T, w *WaitingRoom) {
			w.Approved("r1")
			w.Refused("laptop", "r1")
			if got := stays(t.Context(), w, "laptop"); got != 0 {
				t.Errorf("it waits %v for what has happened", got)
			}
		},
		"an ear that closes late": func(t *testing.T, w *WaitingRoom) {
			w.Refused("laptop", "r1")
			time.AfterFunc(2*time.Second, w.Shut) // the first one's, though a second one listens
			w.Open()
			if got := stays(t.Context(), w, "laptop"); got != 2*time.Second {
				t.Errorf("who has come before that waits %v", got)
			}
			w.Refused("laptop", "r2")
			if got := stays(t.Context(), w, "laptop"); got != openWait {
				t.Errorf("the second one is not heard: it waits %v", got)
			}
			w.Shut()
			w.Refused("laptop", "r3")
			if got := stays(t.Context(), w, "laptop"); got != 0 {
				t.Errorf("nobody listens, and it waits %v", got)
			}
		},
		"who comes late is not kept": func(t *testing.T, w *WaitingRoom) {
			w.Refused("laptop", "r1")
			time.Sleep(remembered + time.Second)
			if got := stays(t.Context(), w, "laptop"); got != 0 {
				t.Errorf("it waits %v", got)
			}
		},
		"released": func(t *testing.T, w *WaitingRoom) {
			w.Refused("laptop", "r1")
			time.AfterFunc(time.Second, w.Release)
			if got := stays(t.Context(), w, "laptop"); got != time.Second {
				t.Errorf("it waits %v", got)
			}
			w.Refused("laptop", "r2")
			if got := stays(t.Context(), w, "laptop"); got != openWait {
				t.Errorf("it waits %v the next time", got)
			}
		},
		"shut": func(t *testing.T, w *WaitingRoom) {
			w.Refused("laptop", "r1")
			time.AfterFunc(time.Second, w.Shut)
			if got := stays(t.Context(), w, "laptop"); got != time.Second {
				t.Errorf("it waits %v", got)
			}
			w.Refused("laptop", "r2")
			if got := stays(t.Context(), w, "laptop"); got != 0 {
				t.Errorf("it waits %v in a room that is shut", got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &WaitingRoom{}
				w.Open()
				play(t, w)
			})
		})
	}
}

// A login waits where the handshake before it has waited in vain, and no other one.
func TestWaitingRoomLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &WaitingRoom{}
		w.Open()
		logs := func(in string) time.Duration {
			began := time.Now()
			if w.Waits(in) {
				w.WaitOn(t.Context().Done(), in)
			}
			return time.Since(began)
		}
		w.Refused("laptop", "r1")
		if got := logs("laptop"); got != 0 {
			t.Errorf("a login waits %v whose handshake was there before", got)
		}
		w.Wait(t.Context(), "laptop")
		if got := logs("laptop"); got != loginWait {
			t.Errorf("a login waits %v", got)
		}
		if got := logs("laptop"); got != 0 {
			t.Errorf("another one waits %v", got)
		}
		w.Refused("laptop", "r2")
		w.Wait(t.Context(), "laptop")
		time.AfterFunc(2*time.Second, func() { w.Approved("r2") })
		if got := logs("laptop"); got != 2*time.Second {
			t.Errorf("a login waits %v though its device was let in after 2 s", got)
		}
		w.Refused("laptop", "r3")
		w.Wait(t.Context(), "laptop")
		w.Approved("r3")
		if got := logs("laptop"); got != 0 {
			t.Errorf("a device that is in waits %v for its login", got)
		}
		w.Refused("laptop", "r4")
		w.Wait(t.Context(), "laptop")
		ended := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(ended) })
		began := time.Now()
		if w.WaitOn(ended, "laptop"); time.Since(began) != time.Second {
			t.Errorf("a login waits for %v after its connection has ended", time.Since(began)-time.Second)
		}
	})
}

// Whoever does not wait for long is not kept in the end: nobody is worse off than
// without.
func TestWaitingRoomHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &WaitingRoom{}
		w.Open()
		for n := range hastyLeaves + 1 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			w.Refused("laptop", "r")
			want := 5 * time.Second
			if n == hastyLeaves {
				want = 0
			}
			if got := stays(ctx, w, "laptop"); got != want {
				t.Errorf("attempt %d waits %v, want %v", n, got, want)
			}
			cancel()
		}
		time.Sleep(remembered + time.Second)
		w.Refused("laptop", "r")
		if got := stays(t.Context(), w, "laptop"); got != openWait {
			t.Errorf("after a while it waits %v", got)
		}
	})
}

func TestWaitingRoomBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &WaitingRoom{}
		w.Open()
		for n := range 3 * maxBrowsers {
			w.Refused(fmt.Sprint("browser ", n), fmt.Sprint("r", n))
			w.Approved(fmt.Sprint("stranger", n))
			w.Refused("browser 0", fmt.Sprint("again", n))
		}
		if len(w.browsers) != maxBrowsers || len(w.early) != maxRequests || len(w.browsers["browser 0"].requests) != maxRequests {
			t.Errorf("%d browsers, %d requests, %d of one browser", len(w.browsers), len(w.early), len(w.browsers["browser 0"].requests))
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan bool)
		for range maxAttempts {
			go func() { waiting <- w.Wait(ctx, "browser 0") }()
			synctest.Wait()
			w.Refused("browser 0", "once more")
		}
		if w.Wait(ctx, "browser 0") {
			t.Errorf("more than %d attempts of one browser wait", maxAttempts)
		}
		cancel()
		for range maxAttempts {
			if !<-waiting {
				t.Error("an attempt has not waited")
			}
		}
		time.Sleep(remembered + time.Second)
		w.Refused("a new one", "r")
		if len(w.browsers) != 1 {
			t.Errorf("%d browsers are known that never came again", len(w.browsers)-1)
		}
	})
}
