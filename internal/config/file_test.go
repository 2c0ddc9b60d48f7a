package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestSyntax: each thing that can be wrong with a file before its keys count has
// a place and plain words.
func TestSyntax(t *testing.T) {
	long := strings.Repeat("# filler\n", 1000)
	for _, tt := range []struct {
		name, data, want string // want: line:column: message
	}{
		{"empty", "", "1:1: holds no settings"},
		{"only comments", "# nothing\n\n# here\n", "1:1: holds no settings"},
		{"only a separator", "---\n", "1:1: holds no settings"},
		{"two documents", "log: {}\n---\nlog: {}\n", "2:1: a second document begins here"},
		{"second document broken", "log: {}\n---\nlog: [\n", "3:1: a value was expected here"},
		{"tab as indentation", "log:\n\tlevel: info\n", "2:1: a tab begins the line"},
		{"tab after spaces", "log:\n  \tlevel: info\n", "2:3: a tab begins the line"},
		{"UTF-16", "\xff\xfel\x00", "1:1: is encoded in UTF-16"},
		{"not UTF-8", "# ok\nlog: é\xe9\n", "2:7: byte 0xe9 is not UTF-8"},
		{"NUL", "log: a\x00b\n", "1:7: control character U+0000"},
		{"C1 control", "log: \u009b\n", "1:6: control character U+009B"},
		{"byte order mark has no column", "\uFEFFlog: a\x01b\n", "1:7: control character U+0001"},
		{"mapping in a value", "listen: a: b\n", `1:1: ": " is not allowed here`},
		{"indentation", "log:\n  level: info\n format: json\n", "3:2: a key was expected here"},
		{"no colon", "log:\n  level: info\n\nlisten\ndata_dir: /d\n", `4:1: a key without ":"`},
		{"list not closed", "gateway:\n  status: [\n    200,\nlog: {}\n", `2:3: a list that "[" began is not closed`},
		{"mapping not closed", "gateway: {\n  port: 1\n", `1:1: a mapping that "{" began is not closed`},
		{"quote not closed", "listen: x\ndata_dir: \"/d\nlog: {}\n", "2:1: a quote that begins here is never closed"},
		{"after a list of several lines", "gateway:\n  command: [\n    a,\n  ]\nlog: @\n", "5:1: this character cannot begin a value"},
		{"unknown anchor", "gateway:\n  env:\n    A: *hunter2\n", `3:5: "*" refers to an anchor`},
		{"long file", long + "log:\n\tlevel: info\n", "1002:1: a tab begins the line"},
		{"too long to search", "log:\n\tlevel: info\n" + long, "2:1: a tab begins the line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, tt.data)
			_, _, err := Load(LoadOptions{Path: file, DataDir: "/d"})
			problems := problemsOf(t, err)
			got := strings.TrimPrefix(problems[0].Error(), file+":")
			if len(problems) != 1 || !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is shown")
			}
		})
	}
}

// TestHarmlessForms: what editors and other systems write means the same.
func TestHarmlessForms(t *testing.T) {
	for name, data := range map[string]string{
		"plain":             "gateway:\n  command: [app]\n  name: x\n",
		"byte order mark":   "\uFEFFgateway:\n  command: [app]\n  name: x\n",
		"CRLF":              "gateway:\r\n  command: [app]\r\n  name: x\r\n",
		"no end of line":    "gateway:\n  command: [app]\n  name: x",
		"document markers":  "---\ngateway:\n  command: [app]\n  name: x\n...\n",
		"JSON":              `{"gateway": {"command": ["app"], "name": "x"}}`,
		"anchor and alias":  "gateway:\n  command: [&a app]\n  dir: *a\n  name: x\n",
		"explicit text":     "gateway:\n  command: [!!str app]\n  name: !!str x\n",
		"a section of none": "gateway:\n  command: [app]\n  name: x\nproxy:\nlog:\n",
		"a date as a text":  "gateway:\n  command: [app]\n  name: x\n  version: 2026-09-06\n",
		"zero without unit": "gateway:\n  command: [app]\n  name: x\n  stop: {drain: 0}\n",
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, err := Load(LoadOptions{Path: writeFile(t, data), DataDir: "/d"})
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Gateway.Name != "x" || len(cfg.Gateway.Command) != 1 || cfg.Gateway.Command[0] != "app" {
				t.Errorf("got %+v", cfg.Gateway)
			}
		})
	}
}

// TestBombs: aliases that repeat each other are refused soon, and nesting ends
// in a problem, not in a full stack.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 20; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	laughs.WriteString("gateway: {command: *a19}\n")
	routes := "proxy: {replay: {idempotent_routes: [&r {path: /a, header: X}" + strings.Repeat(", *r", maxNodes) + "]}}\n"
	for _, tt := range []struct{ name, data, want string }{
		{"billion laughs", laughs.String(), "gateway.command[0]: must be a text, not a list"},
		{"many aliases", routes, "more than 10000 values"},
		{"contains itself", "gateway: &g\n  ready: *g\n", "gateway.ready.ready: unknown key"},
		{"list contains itself", "gateway:\n  command: &c [*c]\n", "gateway.command[0]: must be a text, not a list"},
		{"deep lists", "gateway: {command: " + strings.Repeat("[", 20000) + "\n", "1:1: is not valid YAML"},
		{"deep mappings", strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000), "a: unknown key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, tt.data)
			_, _, err := Load(LoadOptions{Path: file, DataDir: "/d"})
			checkPlaces(t, err, file)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestSearchIsBounded: a large file with an error at its top is not parsed once
// for each of its lines.
func TestSearchIsBounded(t *testing.T) {
	lines := strings.SplitAfter("a: b: c\n"+strings.Repeat("# some more of the same filler\n", 2000), "\n")
	if good, ok := longestGood(lines); ok {
		t.Errorf("the search went on to line %d", good)
	}
	if good, ok := longestGood(lines[:20]); !ok || good != 0 {
		t.Errorf("in a short file: got %d, %v", good, ok)
	}
}
