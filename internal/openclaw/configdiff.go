package openclaw

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"creel/internal/telemetry"
)

// ConfigChange is one key that differs between two configurations.
type ConfigChange struct {
	Key    string `json:"key"`              // dotted, from the root
	Before string `json:"before,omitempty"` // as JSON, without secrets; empty: it was not there
	After  string `json:"after,omitempty"`  // likewise
}

func (c ConfigChange) String() string {
	switch {
	case c.Before == "":
		return fmt.Sprintf("%s: %s added", c.Key, c.After)
	case c.After == "":
		return fmt.Sprintf("%s: %s removed", c.Key, c.Before)
	}
	return fmt.Sprintf("%s: %s -> %s", c.Key, c.Before, c.After)
}

// DiffConfig lists the keys that differ, in the order of their names. Lists are
// compared as wholes. What cannot be read counts as empty. Secrets are shown as
// telemetry.Mask: that one was changed is seen, what it was is not.
func DiffConfig(before, after []byte) []ConfigChange {
	var list []ConfigChange
	diffValues(nil, decoded(before), decoded(after), &list)
	return list
}

// decoded is a configuration as encoding/json has it.
func decoded(b []byte) any {
	doc, err := parseDocument(b)
	if err != nil {
		return map[string]any{}
	}
	var v any
	if err := json.Unmarshal(canonical(doc.root.Value), &v); err != nil {
		return map[string]any{}
	}
	return v
}

func diffValues(path []string, before, after any, list *[]ConfigChange) {
	a, isA := before.(map[string]any)
	b, isB := after.(map[string]any)
	// An object that comes or goes is told by its keys, unless it has none.
	if (isA || before == nil) && (isB || after == nil) && len(a)+len(b) > 0 {
		names := maps.Clone(a)
		if names == nil {
			names = map[string]any{}
		}
		maps.Copy(names, b)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			diffValues(append(slices.Clone(path), name), a[name], b[name], list)
		}
		return
	}
	if reflect.DeepEqual(before, after) {
		return
	}
	*list = append(*list, ConfigChange{Key: strings.Join(path, "."), Before: shown(path, before), After: shown(path, after)})
}

// secretName matches names of keys whose values are secrets. "Tokens" are also
// what models count in, as in maxTokens.
var secretName = regexp.MustCompile(`(?i)(secret|passw(or)?d|passphrase|passcode|credential|authorization|cookie|(api|private|access|signing|encrypt(ion)?|master|aes)_?key|token$|_key$|^pin$)`)

// secretUnder are objects whose values may all be secrets.
var secretUnder = []string{"env", "vars", "headers"}

// shown is a value as JSON in one line, without secrets; "" for none.
func shown(path []string, v any) string {
	if v == nil {
		return ""
	}
	return telemetry.Redact(string(marshal(masked(path, v))))
}

// masked is a value in which secrets are masked.
func masked(path []string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, inner := range v {
			m[name] = masked(append(slices.Clone(path), name), inner)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, inner := range v {
			list[i] = masked(path, inner)
		}
		return list
	case json.Number, float64: // a PIN, or a password of digits alone
		if namedSecret(path) {
			return telemetry.Mask
		}
	case string:
		n := len(path)
		if namedSecret(path) || n > 1 && slices.ContainsFunc(path[:n-1], func(name string) bool { return slices.Contains(secretUnder, name) }) {
			return telemetry.Mask
		}
	}
	return v
}

// namedSecret tells whether what stands at a path is a secret by its name.
func namedSecret(path []string) bool {
	n := len(path)
	return n > 0 && secretName.MatchString(path[n-1])
}
