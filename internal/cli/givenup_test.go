package cli

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/gateway"
)

// TestGivenUp: of a gateway that was given up, `creel status` and the terminal of
// `creel run` show the last lines that it printed, and the next step: that of its end,
// or else where to look.
func TestGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		end          gateway.End
		says, silent []string
	}{
		"lines": {
			gateway.End{Log: []string{"line 1", "line 2", "line 3", "line 4", "line 5", "line 6 \x1b[31mred", strings.Repeat("x", 300)}},
			[]string{"line 3", "line 6 ?[31mred", strings.Repeat("x", 199) + "…\n", "`creel logs`", "`creel start`"},
			[]string{"line 2", "\x1b", strings.Repeat("x", 200)},
		},
		"a next step of its own": {
			gateway.End{Hint: "Stop that program.", Log: []string{"only line"}},
			[]string{"only line", "Stop that program."}, []string{"`creel start`"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := &api.Status{}
			st.State, st.Reason, st.LastEnd = gateway.Failed, "given up", &c.end
			var status, terminal bytes.Buffer
			if err := (&env{stdout: &status}).printStatus(st); err != nil {
				t.Fatal(err)
			}
			(&console{out: &terminal, err: &terminal}).state(st.Status, "")
			for where, text := range map[string]string{"status": status.String(), "terminal": terminal.String()} {
				for _, want := range c.says {
					if !strings.Contains(text, want) {
						t.Errorf("%s lacks %q:\n%s", where, want, text)
					}
				}
				for _, never := range c.silent {
					if strings.Contains(text, never) {
						t.Errorf("%s has %q:\n%s", where, never, text)
					}
				}
			}
			if said := didNotComeUp(&c.end).Error(); !strings.Contains(said, cmp.Or(c.end.Hint, "`creel logs`")) {
				t.Errorf("creel start says %s", said)
			}
			status.Reset()
			st.State = gateway.Ready
			if err := (&env{stdout: &status}).printStatus(st); err != nil || strings.Contains(status.String(), "line") {
				t.Errorf("of one that is ready: %v\n%s", err, status.String())
			}
		})
	}
}
