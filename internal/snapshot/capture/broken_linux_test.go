package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/snapshot/tree"
)

// TestBrokenFiles has reads of some files fail as those of a broken disk do. The cut has
// all others, and says what it lacks; it is asked for each of them once, and the gateway
// is not held still for that.
func TestBrokenFiles(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EIO, unix.EUCLEAN, unix.EBADMSG} {
		t.Run(errno.Error(), func(t *testing.T) {
			c, root := newCapturer(t)
			put(t, root+"/whole", "1")
			put(t, root+"/dir/broken", "2")
			put(t, root+"/dir/zlast", "3")
			must(t, unix.Mkfifo(root+"/pipe", 0o600))
			must(t, os.Link(root+"/dir/broken", root+"/another name"))
			whole := mustCapture(t, c)
			if whole.Unread != 0 {
				t.Fatalf("%+v", whole)
			}
			must(t, whole.Release())
			put(t, root+"/dir/broken", "4") // so that it is read again
			asked, frozen := 0, false
			c.fault = func(path string) error {
				if path == "home/dir/broken" || path == "home/another name" {
					if asked++; frozen {
						t.Error("a broken disk is asked while the gateway is held still")
					}
					return errno
				}
				return nil
			}
			cut, err := c.Capture(t.Context(), func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
				frozen = true
				return 0, do(ctx)
			}, nil)
			must(t, err)
			got := contents(t, cut)
			want := live(t, "home", root)
			for _, p := range []string{"home/dir/broken", "home/another name"} {
				delete(want, p)
				if !slices.Contains(cut.Skipped, tree.Skipped{Path: p, Reason: "cannot be read: " + errno.Error()}) {
					t.Errorf("%s is not among %+v", p, cut.Skipped)
				}
			}
			same(t, got, want)
			if cut.Unread != 2 || asked != 1 || cut.Skipped[0].Path != "home/another name" {
				t.Errorf("%d are lacking, %d were asked for; skipped: %+v", cut.Unread, asked, cut.Skipped)
			}
			must(t, cut.Release())
			if mark, err := c.Mark(t.Context()); err != nil || mark != cut.Mark {
				t.Errorf("a look at the state gives another mark than the cut had (%v)", err)
			}
			c.fault = nil
			works(t, c)
		})
	}
}

// TestBrokenDisk: where more is broken than can be left out, there is no cut.
func TestBrokenDisk(t *testing.T) {
	c, root := newCapturer(t)
	for i := range mostUnread + 1 {
		put(t, fmt.Sprintf("%s/%d", root, i), "x")
	}
	c.fault = func(string) error { return unix.EIO }
	if _, err := c.Capture(t.Context(), atRest, nil); !errors.Is(err, unix.EIO) {
		t.Errorf("got %v", err)
	}
	c.fault = nil
	works(t, c)
}
