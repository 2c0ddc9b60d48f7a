package gateway

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/states.md anew")

const statesHead = `# The states of a gateway

<!-- Printed from internal/gateway/rules.go by "go test ./internal/gateway -run TestStatesDocument -update". Do not edit. -->

A gateway is in one of these states. What follows from what happens is data, in
` + "`internal/gateway/rules.go`" + `; this page is printed from there.

| State | Meaning |
| --- | --- |
| stopped | no instance; nobody wants one yet, or somebody asked for none |
| restoring | its state is being put in place before an instance is launched; requests wait |
| starting | an instance is being launched, or is not ready yet; requests wait |
| ready | requests are passed on |
| suspect | it refused a connection, or fell silent; requests wait while it is checked |
| draining | it is to end: requests under way may go on for a while, new ones wait (or are refused, if it is to stay stopped) |
| stopping | it was asked to end, or what it left behind is being cleared away |
| backoff | a pause before the next start; requests wait |
| failed | given up until asked, configured anew, or until the time for another try; requests are refused, with the reason |

## Diagram

`

const statesTable = `
## All rules

For a state and an event the first rule whose condition holds is taken. An event
without a rule is of no consequence in that state. "–" means that the state
remains; the rule then changes what comes later, or does something.

Results of an instance carry its generation, results of a wait the epoch in which
it was begun. Those of another generation or epoch are dropped before any rule is
looked at.

`

// TestStatesDocument fails when docs/states.md does not say what the rules do.
func TestStatesDocument(t *testing.T) {
	want := statesHead + "```mermaid\n" + Diagram() + "```\n" + statesTable + RuleTable()
	path := filepath.Join("..", "..", "docs", "states.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale; run: go test ./internal/gateway -run TestStatesDocument -update", path)
	}
}

// TestDiagramShowsEveryTransition looks for each rule that changes the state.
func TestDiagramShowsEveryTransition(t *testing.T) {
	lines := strings.Split(Diagram(), "\n")
	for _, r := range rules {
		if r.from == r.to {
			continue
		}
		found := false
		for _, l := range lines {
			arrow, label, _ := strings.Cut(strings.TrimSpace(l), ": ")
			if arrow == string(r.from)+" --> "+string(r.to) {
				found = strings.Contains(label, r.label())
			}
		}
		if !found {
			t.Errorf("the diagram lacks %s --> %s: %s", r.from, r.to, r.label())
		}
	}
}
