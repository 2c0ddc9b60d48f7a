package crashgw

import (
	"bytes"
	"flag"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func full() Options {
	return Options{
		Port: 1, BootDelay: 2, ListenEarly: true, ExitCode: 3, ExitAfter: 4, ExitBeforeReady: true,
		IgnoreSIGTERM: true, Orphan: OrphanHold, OrphanFor: 6, LogFlood: 7, DieAfterRequests: 8,
		FirstRequestKills: true, FirstRequestKillsTimes: "a b", Ledger: "--x", Store: "s", Lives: "l",
		State: "s", StateEvery: 9, ExitIf: "e", asOrphan: OrphanServe,
	}
}

func TestArgumentsRoundTrip(t *testing.T) {
	slow := Options{Port: 9, SlowTerm: 5 * time.Second, ExitCode: CleanExit}
	// Together the samples set every field, so that a forgotten flag shows.
	for i := range reflect.TypeFor[Options]().NumField() {
		if reflect.ValueOf(full()).Field(i).IsZero() && reflect.ValueOf(slow).Field(i).IsZero() {
			t.Errorf("no sample sets %s", reflect.TypeFor[Options]().Field(i).Name)
		}
	}
	for _, o := range []Options{{}, full(), slow} {
		got, err := ParseOptions(o.args(), nil, io.Discard)
		if err != nil {
			t.Errorf("%v: %v", o.args(), err)
		}
		if got != o {
			t.Errorf("%v gives\n%+v, want\n%+v", o.args(), got, o)
		}
	}
	if args := (Options{}).args(); len(args) != 0 {
		t.Errorf("the zero value gives arguments: %v", args)
	}
}

func TestPrecedence(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  []string
		want Options
	}{
		{"PORT", nil, []string{"PORT=80"}, Options{Port: 80}},
		{"CRASHGW_PORT wins over PORT", nil, []string{"CRASHGW_PORT=81", "PORT=80"}, Options{Port: 81}},
		{"whatever the order", nil, []string{"PORT=80", "CRASHGW_PORT=81"}, Options{Port: 81}},
		{"the flag wins", []string{"--port", "82"}, []string{"CRASHGW_PORT=81", "PORT=80"}, Options{Port: 82}},
		{"variable", nil, []string{"CRASHGW_BOOT_DELAY=1s", "CRASHGW_LISTEN_EARLY=true"},
			Options{BootDelay: time.Second, ListenEarly: true}},
		{"flag over variable", []string{"--boot-delay=2s"}, []string{"CRASHGW_BOOT_DELAY=1s"},
			Options{BootDelay: 2 * time.Second}},
		{"orphan alone", []string{"--orphan", "--port=1"}, nil, Options{Port: 1, Orphan: OrphanServe}},
		{"exit code 0", []string{"--exit-code=0"}, nil, Options{ExitCode: CleanExit}},
		{"other variables are not ours", nil, []string{"HOME=/", "XCRASHGW_PORT=1"}, Options{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseOptions(tt.args, tt.env, io.Discard)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestMistakesAreRefused(t *testing.T) {
	tests := []struct {
		args []string
		env  []string
		say  string
	}{
		{[]string{"--boot-dely=1s"}, nil, "boot-dely"},
		{nil, []string{"CRASHGW_BOOT_DELY=1s"}, "CRASHGW_BOOT_DELY"},
		{[]string{"--exit-code=256"}, nil, "0 to 255"},
		{[]string{"--exit-code=-1"}, nil, "0 to 255"},
		{[]string{"--boot-delay=-1s"}, nil, "negative"},
		{[]string{"--log-flood=-1"}, nil, "negative"},
		{[]string{"--port=65536"}, nil, "65535"},
		{[]string{"--orphan=both"}, nil, "serve or hold"},
		{[]string{"--slow-term=1s", "--ignore-sigterm"}, nil, "choose one"},
		{[]string{"serve"}, nil, "flags only"},
		{nil, []string{"PORT=http"}, "PORT"},
	}
	for _, tt := range tests {
		_, err := ParseOptions(tt.args, tt.env, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.say) {
			t.Errorf("%v %v: error %v, want one that says %q", tt.args, tt.env, err, tt.say)
		}
	}
}

// TestDocumentation holds the tables of the package comment against the code.
func TestDocumentation(t *testing.T) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	section := func(from, to string) []byte {
		_, rest, ok1 := bytes.Cut(b, []byte(from))
		part, _, ok2 := bytes.Cut(rest, []byte(to))
		if !ok1 || !ok2 {
			t.Fatalf("the package comment has no part from %q to %q", from, to)
		}
		return part
	}
	// A term begins a table row: a tab and the term right after "//".
	terms := func(part []byte, ends string) []string {
		var found []string
		for line := range bytes.Lines(part) {
			rest, ok := strings.CutPrefix(strings.TrimRight(string(line), "\n"), "//\t")
			if ok && !strings.HasPrefix(rest, " ") {
				found = append(found, rest[:len(rest)-len(strings.TrimLeft(rest, "-"))]+
					strings.FieldsFunc(strings.TrimLeft(rest, "-"), func(r rune) bool { return strings.ContainsRune(ends, r) })[0])
			}
		}
		slices.Sort(found)
		return found
	}

	var flags []string
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	new(Options).bind(fs)
	fs.VisitAll(func(f *flag.Flag) {
		if f.Name != asOrphanFlag {
			flags = append(flags, "--"+f.Name)
		}
	})
	paths := []string{"/healthz", "/readyz"}
	for path := range routes {
		paths = append(paths, path)
	}
	var kinds, dieModes []string
	for kind := range badAnswers {
		kinds = append(kinds, kind)
	}
	for _, m := range modes[whole] {
		dieModes = append(dieModes, string(m))
	}
	for _, tt := range []struct {
		what       string
		documented []string
		code       []string
	}{
		{"flags", terms(section("# Switches of the process", "# Switches of a request"), " ["), flags},
		{"modes", terms(section("// The modes of die", "// Paths whose"), " "), dieModes},
		{"paths", terms(section("# Paths", "// The kinds of /bad"), " ?"), paths},
		{"kinds", terms(section("// The kinds of /bad", "# WebSocket"), " "), kinds},
	} {
		slices.Sort(tt.code)
		if !slices.Equal(tt.documented, tt.code) {
			t.Errorf("%s: documented %v\nin the code %v", tt.what, tt.documented, tt.code)
		}
	}
}
