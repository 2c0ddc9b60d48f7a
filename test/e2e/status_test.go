//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// status is `creel status --json`, as far as the tests look at it.
type status struct {
	State      string
	Reason     string
	OK         bool
	Generation uint64
	PID        int
	Address    string
	Adopted    bool
	Restarts   uint64
	Held       int
	LastEnd    *struct {
		Generation uint64
		Cause      string
		Message    string
		Hint       string
	} `json:"last_end"`
	Creel struct {
		PID    int
		Listen string
		Link   string
	}
}

func (s status) String() string {
	return fmt.Sprintf("%s (%s), generation %d, pid %d, %d restarts, %d waiting", s.State, s.Reason, s.Generation, s.PID, s.Restarts, s.Held)
}

func (f *folder) status(t *testing.T) status {
	t.Helper()
	var s status
	text := f.mustCommand(t, "status", "--json")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("creel status --json: %v\n%s", err, text)
	}
	return s
}

// until waits for a status.
func (f *folder) until(t *testing.T, limit time.Duration, what string, holds func(status) bool) status {
	t.Helper()
	var s status
	eventually(t, limit, what, func() (bool, string) {
		s = f.status(t)
		return holds(s), s.String()
	})
	return s
}

// event is a line of `creel events --json`.
type event struct {
	Seq        uint64
	Time       time.Time
	Kind       string
	Generation uint64
	Message    string
	Cause      string
}

// events gives all events of the folder.
func (f *folder) events(t *testing.T) []event {
	t.Helper()
	return parseEvents(t, f.mustCommand(t, "events", "--json", "-n", "1000"))
}

func parseEvents(t *testing.T, text string) []event {
	t.Helper()
	var list []event
	for line := range strings.Lines(text) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("creel events --json: %v\n%s", err, line)
		}
		list = append(list, e)
	}
	return list
}

// count counts the events of a kind after a sequence number.
func count(list []event, kind string, after uint64) int {
	n := 0
	for _, e := range list {
		if e.Kind == kind && e.Seq > after {
			n++
		}
	}
	return n
}

// lastSeq is the number of the last event.
func lastSeq(list []event) uint64 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].Seq
}
