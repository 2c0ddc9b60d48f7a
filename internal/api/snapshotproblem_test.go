package api

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// TestFullIsToldApart: a disk that turns out to be full in the midst of it is a want of
// room, as one that was seen to be before.
func TestFullIsToldApart(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		d := snapshotProblem(fmt.Errorf("cannot restore snapshot x; the state was not touched: write /x: %w", errno))
		if d.Status != 507 || d.Code != "no_space" || !strings.Contains(d.Hint, "Make room") || !strings.Contains(d.Detail, "/x") {
			t.Errorf("%v: %+v", errno, d)
		}
	}
	if d := snapshotProblem(fmt.Errorf("write /x: %w", syscall.EIO)); d.Status != 500 {
		t.Errorf("%+v", d)
	}
}
