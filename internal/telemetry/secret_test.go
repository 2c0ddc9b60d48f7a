package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsNotShown(t *testing.T) {
	s := Secret("hunter22")
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%d", "%x", "%X", "%08.3f", "%t", "%T|%v"} {
		args := []any{s}
		if strings.Contains(verb, "%T") {
			args = []any{s, s}
		}
		for _, got := range []string{fmt.Sprintf(verb, args...), fmt.Sprintf(verb, wrap(args)...)} {
			if strings.Contains(got, "hunter") || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", "hunter")) {
				t.Errorf("%s shows it: %q", verb, got)
			}
		}
	}
	if b, err := json.Marshal(map[string]any{"a": s, "b": &s}); err != nil || strings.Contains(string(b), "hunter") {
		t.Errorf("JSON: %s, %v", b, err)
	}
	if got := slog.AnyValue(s).Resolve().String(); got != Mask {
		t.Errorf("log value %q", got)
	}
	if s.Reveal() != "hunter22" {
		t.Error("Reveal does not give the secret")
	}
}

// wrap puts each value into an exported field of a struct.
func wrap(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = struct{ Field Secret }{a.(Secret)}
	}
	return out
}

func TestEmptySecretIsShownAsEmpty(t *testing.T) {
	if got := fmt.Sprintf("%v|%q", Secret(""), Secret("")); got != `|""` {
		t.Errorf("got %s", got)
	}
}

func TestSecretIsReadFromJSON(t *testing.T) {
	var v struct{ Token Secret }
	if err := json.Unmarshal([]byte(`{"Token":"hunter22"}`), &v); err != nil || v.Token.Reveal() != "hunter22" {
		t.Errorf("got %q, %v", v.Token.Reveal(), err)
	}
}
