package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestKeys: the tags in config.go are complete and do not contradict each other.
func TestKeys(t *testing.T) {
	variables := map[string]string{}
	for _, k := range Keys() {
		value := k.Kind != KindSection && !strings.Contains(k.Path, "[")
		if value != slices.Contains([]Needs{NeedsNothing, NeedsGatewayRestart, NeedsCreelUpgrade, NeedsCreelRestart}, k.Needs) {
			t.Errorf("%s needs %q", k.Path, k.Needs)
		}
		if value != (k.Env != "") {
			t.Errorf("%s has the variable %q", k.Path, k.Env)
		}
		if before, twice := variables[k.Env]; twice && value {
			t.Errorf("%s and %s have the same variable", before, k.Path)
		}
		variables[k.Env] = k.Path
		// A variable that begins like those of gateway.env would be taken for one.
		if k.Path != variablesKey && strings.HasPrefix(k.Env, envName(variablesKey)+"_") {
			t.Errorf("%s has the variable %s", k.Path, k.Env)
		}
		if k.Kind == KindVariables && k.Path != variablesKey {
			t.Errorf("%s: only %s is looked after", k.Path, variablesKey)
		}
	}
	if _, taken := variables[FileVariable]; taken {
		t.Errorf("a key has the variable %s", FileVariable)
	}
	checkNames(t, reflect.TypeFor[Config]())
}

// checkNames: a key is called the same in YAML and JSON.
func checkNames(t *testing.T, s reflect.Type) {
	for i := range s.NumField() {
		f := s.Field(i)
		if f.Tag.Get("yaml") == "" || f.Tag.Get("yaml") != f.Tag.Get("json") {
			t.Errorf("%s.%s has the tag %s", s.Name(), f.Name, f.Tag)
		}
		switch {
		case f.Type.Kind() == reflect.Struct:
			checkNames(t, f.Type)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			checkNames(t, f.Type.Elem())
		}
	}
}

// TestDefaultsAreValid: with a command or a preset alone there is nothing wrong.
func TestDefaultsAreValid(t *testing.T) {
	for _, preset := range []string{PresetNone, PresetOpenClaw} {
		cfg := Defaults()
		cfg.DataDir = "/d"
		ApplyPreset(&cfg, preset)
		if preset == PresetNone {
			cfg.Gateway.Command = []string{"app"}
		}
		if err := Validate(&cfg, nil); err != nil {
			t.Errorf("preset %q: %v", preset, err)
		}
		if w := cfg.Warnings(); w != nil {
			t.Errorf("preset %q: %v", preset, w)
		}
	}
}
