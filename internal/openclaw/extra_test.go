package openclaw

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// configured is the configuration after a merge, as OpenClaw would read it.
func configured(t *testing.T, l Layout, extra ...Setting) map[string]any {
	t.Helper()
	s := testSettings
	s.Extra = extra
	if _, err := Configure(l, s); err != nil {
		t.Fatal(err)
	}
	doc, err := parseDocument([]byte(getConfig(t, l)))
	if err != nil {
		t.Fatal(err)
	}
	v := doc.root.Clone()
	v.Standardize()
	var m map[string]any
	if err := json.Unmarshal(v.Pack(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// at is the value at a path, as JSON; "" if there is none.
func at(m map[string]any, path ...string) string {
	var v any = m
	for _, name := range path {
		obj, _ := v.(map[string]any)
		inner, ok := obj[name]
		if !ok {
			return ""
		}
		v = inner
	}
	return string(marshal(v))
}

// A default gives way to what anybody else has written, and to nothing else.
func TestDefaultGivesWay(t *testing.T) {
	path := []string{"agents", "defaults", "model", "primary"}
	say := func(v string) Setting { return Setting{Path: path, Value: v, Mode: Default} }
	l := newLayout(t)
	step := func(want string, extra ...Setting) {
		t.Helper()
		if got := at(configured(t, l, extra...), path...); got != want {
			t.Errorf("the model is %s; want %s", got, want)
		}
	}
	edit := func(from, to string) {
		t.Helper()
		text := getConfig(t, l)
		if !strings.Contains(text, from) {
			t.Fatalf("%q is not in\n%s", from, text)
		}
		putConfig(t, l, strings.Replace(text, from, to, 1))
	}
	step(`"a/1"`, say("a/1"))
	step(`"a/2"`, say("a/2")) // creel's own, changed by creel
	edit(`"a/2"`, `"user/1"`)
	step(`"user/1"`, say("a/2"))
	step(`"user/1"`, say("a/3"))
	step(`"a/4"`, Setting{Path: path, Value: "a/4", Mode: Own}) // locked
	step(`"a/5"`, say("a/5"))                                   // and creel's again
	step("")                                                    // not asked for any more
	if got := at(configured(t, l), "agents"); got != "" {
		t.Errorf("what creel had made is left over: %s", got)
	}
	putConfig(t, l, `{"agents": {"defaults": {"model": {"primary": "same"}}}}`)
	step(`"same"`, say("same"))
	step(`"same"`) // it was there before creel said it
}

// A value may be any JSON, and is compared as such.
func TestDefaultObject(t *testing.T) {
	path := []string{"models", "providers", "a/b~c"}
	provider := func(url string) Setting {
		return Setting{Path: path, Mode: Default, Value: map[string]any{"baseUrl": url, "models": []any{map[string]any{"id": "m", "contextWindow": 131072}}}}
	}
	l := newLayout(t)
	const one, two = `{"baseUrl":"http://h/?a=1\u0026b=2","models":[{"contextWindow":131072,"id":"m"}]}`, `{"baseUrl":"http://two","models":[{"contextWindow":131072,"id":"m"}]}`
	if got := at(configured(t, l, provider("http://h/?a=1&b=2")), path...); got != one {
		t.Errorf("the provider is %s", got)
	}
	// OpenClaw writes the file anew, with keys in another order.
	m := configured(t, l, provider("http://h/?a=1&b=2"))
	putConfig(t, l, string(marshal(m)))
	if got := at(configured(t, l, provider("http://two")), path...); got != two {
		t.Errorf("creel's provider is taken for another's: %s", got)
	}
	// A person adds a model: the whole is theirs.
	putConfig(t, l, strings.Replace(getConfig(t, l), `"id":"m"`, `"id":"mine"`, 1)+"\n")
	if !strings.Contains(getConfig(t, l), "mine") {
		putConfig(t, l, strings.Replace(getConfig(t, l), `"id": "m"`, `"id": "mine"`, 1))
	}
	if got := at(configured(t, l, provider("http://three")), path...); !strings.Contains(got, "mine") || strings.Contains(got, "three") {
		t.Errorf("a person's provider was changed: %s", got)
	}
}

// A list of who may write is a union: who was let in stays in.
func TestItemsAreAUnion(t *testing.T) {
	path := []string{"channels", "telegram", "allowFrom"}
	say := func(items ...string) Setting { return Setting{Path: path, Value: items, Mode: Items} }
	l := newLayout(t)
	putConfig(t, l, `{"channels": {"telegram": {"allowFrom": [111, "222"], "botToken": "theirs"}}}`)
	for i, step := range []struct {
		extra []Setting
		want  string
	}{
		{[]Setting{say("111", "333", "444")}, `[111,"222","333","444"]`},
		{[]Setting{say("333")}, `[111,"222","333"]`}, // 444 is taken back, 111 was not creel's
		{nil, `[111,"222"]`},
	} {
		if got := at(configured(t, l, step.extra...), path...); got != step.want {
			t.Errorf("step %d: allowFrom is %s; want %s", i, got, step.want)
		}
	}
}

// What a person has written where a default would go is no error, and what creel
// must own is one.
func TestSettingInTheWay(t *testing.T) {
	l := newLayout(t)
	putConfig(t, l, `{"channels": "none"}`)
	s := testSettings
	s.Extra = []Setting{{Path: []string{"channels", "telegram", "enabled"}, Value: true, Mode: Default}}
	got, err := Configure(l, s)
	if err != nil || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "channels is not an object") {
		t.Errorf("Configure = %+v, %v", got, err)
	}
	s.Extra[0].Mode = Own
	if _, err := Configure(l, s); err == nil {
		t.Error("no error though creel must own the key")
	}
}

// A creel that dies between the record and the configuration, or after both,
// knows its own values again.
func TestSettingsSurviveACrash(t *testing.T) {
	path := []string{"gateway", "x"}
	say := func(v string) Setting { return Setting{Path: path, Value: v, Mode: Default} }
	l := newLayout(t)
	configured(t, l, say("one"))
	config, record := getConfig(t, l), l.Config()+MemorySuffix
	before, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	// As far as the record of both, and no further.
	file, err := readConfig(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	m, err := file.recall()
	if err != nil {
		t.Fatal(err)
	}
	if err := file.merge(m, []Setting{say("two")}); err != nil {
		t.Fatal(err)
	}
	if err := m.announce(); err != nil {
		t.Fatal(err)
	}
	if got := at(configured(t, l, say("three")), path...); got != `"three"` {
		t.Errorf("after a death before the configuration: %s", got)
	}
	// The configuration was written and the record of it alone was not.
	putConfig(t, l, config)
	if err := os.WriteFile(record, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if file, err = readConfig(l.Config()); err != nil {
		t.Fatal(err)
	}
	if m, err = file.recall(); err != nil {
		t.Fatal(err)
	}
	if err := file.merge(m, []Setting{say("two")}); err != nil {
		t.Fatal(err)
	}
	if err := m.announce(); err != nil {
		t.Fatal(err)
	}
	if err := file.write(); err != nil {
		t.Fatal(err)
	}
	if got := at(configured(t, l, say("three")), path...); got != `"three"` {
		t.Errorf("after a death before the last record: %s", got)
	}
	// A record that says nothing makes all of it a person's.
	if err := os.WriteFile(record, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := at(configured(t, l, say("four")), path...); got != `"three"` {
		t.Errorf("with a broken record: %s", got)
	}
}
