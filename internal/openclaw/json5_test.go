package openclaw

import (
	"errors"
	"strings"
	"testing"
)

// The examples of the specification, and the corners of each form.
func TestFromJSON5(t *testing.T) {
	for in, want := range map[string]string{
		`{a: 1}`:                               `{"a": 1}`,
		`{$a_1: 'x', "b": null}`:               `{"$a_1": "x", "b": null}`,
		`{true: true, null : false}`:           `{"true": true, "null" : false}`,
		`{ünï: 1, \u0061b: 2}`:                 `{"ünï": 1, "\u0061b": 2}`,
		`{a /* c */ // d` + "\n" + `: 1,}`:     `{"a" /* c */ // d` + "\n" + `: 1,}`,
		`['it\'s', "a'b", 'say "hi"']`:         `["it's", "a'b", "say \"hi\""]`,
		`['\x41\u00e4\v\0\q\/']`:               `["\u0041\u00e4\u000b\u0000q\/"]`,
		"['one\\\ntwo', 'a\\\r\nb']":           `["onetwo", "ab"]`,
		`[+1, -1, .5, 5., -.5e3, +0xFf, 1e-7]`: `[1, -1, 0.5, 5, -0.5e3, 255, 1e-7]`,
		`[0xdecaf, -0x10, 123456789012345]`:    `[912559, -16, 123456789012345]`,
		"\ufeff{a:\u00a01,\v\fb:2}\u2028":      " {\"a\": 1,  \"b\":2} ",
		"// c\r{a:1} // d\u2028// e":           "// c\n\r{\"a\":1} // d\n // e",
		"['\t']":                               `["\u0009"]`,
		`{"already": "JSON", "n": [1.5e+3]}`:   `{"already": "JSON", "n": [1.5e+3]}`,
	} {
		got, err := fromJSON5([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%q became %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestNotJSON5(t *testing.T) {
	for in, want := range map[string]string{
		"{\n  a: yes}":   "line 2, column 6: yes is no value; a string needs quotes",
		"{a: 'x\n'}":     "line 1, column 7: the string that begins before has no end in this line",
		"{a: 'x":         "line 1, column 5: this string does not end",
		`{a: '\1'}`:      `line 1, column 6: a backslash before a digit means nothing`,
		`{a: '\xg0'}`:    `line 1, column 6: \x wants 2 hexadecimal digits`,
		`{a: Infinity}`:  "line 1, column 5: Infinity is no value that a configuration can have",
		`{a: -Infinity}`: "line 1, column 5: -Infinity is no value that a configuration can have",
		`{a: 0x}`:        "line 1, column 5: 0x is no hexadecimal number",
		`{a: 1.2.3}`:     "line 1, column 5: 1.2.3 is no number",
		`{a: 01}`:        "line 1, column 5: 01 is no number",
		`{a: +-1}`:       "line 1, column 5: +-1 is no number",
		"{a: 1 /* open":  "line 1, column 7: this comment does not end",
		"{a: 1 / 2}":     "line 1, column 7: a comment begins with // or /*",
		"{a: #}":         "line 1, column 5: '#' cannot stand here",
		`{a\x41: 1}`:     `line 1, column 3: in a key without quotes only \u and four hexadecimal digits can be escaped`,
	} {
		_, err := fromJSON5([]byte(in))
		var bad *JSON5Error
		if !errors.As(err, &bad) || err.Error() != want {
			t.Errorf("%q: %v; want %s", in, err, want)
		}
	}
}

// A configuration in JSON5 is merged like any other: comments and order stay.
func TestConfigureJSON5(t *testing.T) {
	l := newLayout(t)
	putConfig(t, l, `// mine
{
  agents: {defaults: {model: {primary: 'fake/fake-1'}}}, // keep
  gateway: {
    port: +4000, // old
    auth: {token: 'known\x21'},
    trustedProxies: ['10.0.0.1',],
  },
  limit: 0x10,
}
`)
	got, err := Configure(l, testSettings)
	if err != nil || got.Token.Reveal() != "known!" {
		t.Fatalf("Configure = %+v, %v", got, err)
	}
	text := getConfig(t, l)
	for _, want := range []string{
		"// mine\n", `"agents": {"defaults": {"model": {"primary": "fake/fake-1"}}}, // keep`, `"port": 18789, // old`,
		`"trustedProxies": ["10.0.0.1", "127.0.0.1", "::1",]`, `"limit": 16,`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if again, err := Configure(l, testSettings); err != nil || again.Changed {
		t.Errorf("the second time: %+v, %v", again, err)
	}
}

// What is JSON5 and needs no change is not written.
func TestJSON5IsNotRewritten(t *testing.T) {
	l := newLayout(t)
	if _, err := Configure(l, testSettings); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(`"mode": "local"`, `mode: 'local'`, `18789`, `0x4965`).Replace(getConfig(t, l))
	putConfig(t, l, text)
	if got, err := Configure(l, testSettings); err != nil || got.Changed || getConfig(t, l) != text {
		t.Errorf("Configure = %+v, %v:\n%s", got, err, getConfig(t, l))
	}
}

func FuzzFromJSON5(f *testing.F) {
	f.Add([]byte(`{a: 'x', b: [+1, .5, 0xF], /* c */ "d": "\u00e4",} // e`))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := parseDocument(b)
		if err != nil {
			return
		}
		again, err := parseDocument(doc.bytes())
		if err != nil || !sameValue(doc.root.Value, again.root.Value) {
			t.Errorf("%q is written as %q, which is something else (%v)", b, doc.bytes(), err)
		}
	})
}
