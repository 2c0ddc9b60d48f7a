package replay_test

import (
	"bufio"
	"os"
	"strings"
	"testing"

	. "creel/internal/replay"
)

var ladder = []Evidence{NotDialled, Dialled, HeadWritten, BodyPart, AllWritten, AnswerBegun}

// TestTable checks Decide against the table that users read: docs/replay.md.
func TestTable(t *testing.T) {
	kinds := map[string]Request{
		"GET":                          {Method: "GET"},
		"HEAD":                         {Method: "HEAD"},
		"OPTIONS":                      {Method: "OPTIONS"},
		"TRACE":                        {Method: "TRACE"},
		"PUT":                          {Method: "PUT"},
		"DELETE":                       {Method: "DELETE"},
		"WebSocket handshake":          {Method: "GET"},
		"POST with key":                {Method: "POST", Keyed: true},
		"PATCH with key":               {Method: "PATCH", Keyed: true},
		"POST":                         {Method: "POST"},
		"PATCH":                        {Method: "PATCH"},
		"any other method":             {Method: "PROPFIND"},
		"other method with key":        {Method: "PROPFIND", Keyed: true},
		"PUT, body not kept":           {Method: "PUT", BodyLost: true},
		"POST with key, body not kept": {Method: "POST", Keyed: true, BodyLost: true},
		"POST, body not kept":          {Method: "POST", BodyLost: true},
	}
	seen := map[string]bool{}
	for _, row := range tableRows(t) {
		r, ok := kinds[row[0]]
		if !ok {
			t.Errorf("docs/replay.md has a row %q that this test does not know", row[0])
			continue
		}
		seen[row[0]] = true
		for i, e := range ladder {
			if got, want := Decide(r, e).String(), row[i+1]; got != want {
				t.Errorf("%s after %s: %s, docs/replay.md says %s", row[0], e, got, want)
			}
		}
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("docs/replay.md lacks the row %q", kind)
		}
	}
}

// TestMoreEvidenceNeverHelps: whoever may not be repeated early may not be
// repeated later.
func TestMoreEvidenceNeverHelps(t *testing.T) {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "LOCK"} {
		for _, keyed := range []bool{false, true} {
			for _, lost := range []bool{false, true} {
				r := Request{Method: method, Keyed: keyed, BodyLost: lost}
				for i := 1; i < len(ladder); i++ {
					if Decide(r, ladder[i]) == Repeat && Decide(r, ladder[i-1]) != Repeat {
						t.Errorf("%+v may be repeated after %s but not after %s", r, ladder[i], ladder[i-1])
					}
				}
			}
		}
	}
}

// tableRows reads the rows of the table in docs/replay.md that has a column
// for each rung of the ladder.
func tableRows(t *testing.T) [][]string {
	t.Helper()
	f, err := os.Open("../../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows [][]string
	in := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasPrefix(line, "| Request | not dialled |"):
			in = true
		case !strings.HasPrefix(line, "|"):
			in = false
		case in && !strings.HasPrefix(line, "| ---"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
			}
			if len(cells) != len(ladder)+1 {
				t.Fatalf("a row of docs/replay.md has %d cells: %s", len(cells), line)
			}
			rows = append(rows, cells)
		}
	}
	return rows
}
