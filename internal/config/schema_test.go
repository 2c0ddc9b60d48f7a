package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

const exampleFile = "../../docs/creel.example.yaml"

// compile makes a validator of the schema. That it is a schema at all is checked
// against the meta-schema of draft 2020-12.
func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("creel.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("creel.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check validates YAML against the schema.
func check(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// TestExample: the example file is accepted by creel and by the schema, without
// a warning.
func TestExample(t *testing.T) {
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, compile(t), data); err != nil {
		t.Error(err)
	}
	cfg, _, err := Load(LoadOptions{Path: exampleFile})
	if err != nil {
		t.Fatal(err)
	}
	if w := cfg.Warnings(); w != nil {
		t.Errorf("warnings: %v", w)
	}
}

// TestSchemaRefuses: what creel refuses for its shape the schema refuses too, so
// that an editor shows it.
func TestSchemaRefuses(t *testing.T) {
	s := compile(t)
	for _, line := range []string{
		"listem: x",
		"listen: 8080",
		"gateway: {command: node}",
		"gateway: {port: '80'}",
		"gateway: {start: sometimes}",
		"gateway: {env: [A=B]}",
		"gateway: {env: {A: [b]}}",
		"gateway: {ready: {timeout: 10}}",
		"gateway: {ready: {timeout: 1d}}",
		"gateway: {ready: {timeout: ''}}",
		"proxy: {replay: {budget: 64KB}}",
		"proxy: {replay: {budget: -1}}",
		"proxy: {replay: {idempotent_routes: [{path: /a}]}}",
		"proxy: {replay: {idempotent_routes: [{path: /a, header: X, keep: 1}]}}",
		"listen:",
		"[]",
	} {
		if check(t, s, []byte(line)) == nil {
			t.Errorf("the schema accepts %s", line)
		}
		if _, _, err := Load(LoadOptions{Path: writeFile(t, line+"\n"), DataDir: "/d", Flags: []Flag{appFlag}}); err == nil {
			t.Errorf("creel accepts %s", line)
		}
	}
}

// TestSchemaAccepts: what creel accepts the schema accepts too.
func TestSchemaAccepts(t *testing.T) {
	s := compile(t)
	for _, line := range []string{
		"gateway: {env: {A: 1, B: true, C: x, D: 1.5}}",
		"gateway: {stop: {drain: 0, grace: '0'}}",
		"gateway: {stop: {drain: 1.5h, grace: 1h2m3s4ms}}",
		"gateway: {preset: '', start: on-demand}",
		"proxy: {replay: {body_memory: 0, body_max: 1 MiB, budget: 1GiB}}",
		"proxy:",
		"proxy: {hold: }",
	} {
		if err := check(t, s, []byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if _, _, err := Load(LoadOptions{Path: writeFile(t, line+"\n"), DataDir: "/d", Flags: []Flag{appFlag}}); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestShowCanBeRead: what "creel config show" prints is a file that means the
// same, but for the values of variables, and that fits the schema.
func TestShowCanBeRead(t *testing.T) {
	cfg, sources := loadShow(t)
	text, err := Render(cfg, sources)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, compile(t), text); err != nil {
		t.Error(err)
	}
	again, _, err := Load(LoadOptions{Path: writeFile(t, string(text))})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Diff(cfg, again) {
		if !strings.HasPrefix(c.Key, variablesKey+".") {
			t.Errorf("read again: %+v", c)
		}
	}
}

// TestProblemFilesAgainstSchema: an editor shows most mistakes of shape.
func TestProblemFilesAgainstSchema(t *testing.T) {
	s := compile(t)
	for _, name := range []string{"typos", "types", "not_ours", "env_text", "many"} {
		data, err := os.ReadFile(filepath.Join("testdata", "problems", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if check(t, s, data) == nil {
			t.Errorf("the schema accepts %s.yaml", name)
		}
	}
}
