package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// redacted stands for the value of a variable wherever one would be shown.
const redacted = "[redacted]"

// Change is a key whose value differs between two configurations.
type Change struct {
	Key   string `json:"key"` // dotted; a variable of the gateway is "gateway.env.NAME"
	Old   string `json:"old"` // as in creel.yaml; empty: the variable was not set
	New   string `json:"new"` // likewise
	Needs Needs  `json:"needs"`
}

// Diff lists what is different in new, in the order of Keys. Values of variables
// are shown as "[redacted]".
func Diff(old, new *Config) []Change {
	var changes []Change
	for _, k := range ordered() {
		a, b := k.value(old), k.value(new)
		switch {
		case equal(a, b):
		case k.Kind == KindVariables:
			changes = append(changes, diffVariables(k, a.(map[string]string), b.(map[string]string))...)
		default:
			changes = append(changes, Change{Key: k.Path, Old: format(k, a), New: format(k, b), Needs: k.Needs})
		}
	}
	return changes
}

func diffVariables(k *Key, old, new map[string]string) []Change {
	names := maps.Clone(old)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, new)
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, had := old[name]
		b, has := new[name]
		if had == has && a == b {
			continue
		}
		change := Change{Key: k.Path + "." + name, Needs: k.Needs}
		if had {
			change.Old = redacted
		}
		if has {
			change.New = redacted
		}
		changes = append(changes, change)
	}
	return changes
}

// equal compares two values of a key. No list and an empty one are the same.
func equal(a, b any) bool {
	if isEmptyValue(a) && isEmptyValue(b) {
		return true
	}
	return reflect.DeepEqual(a, b)
}

// isEmptyValue tells a zero number or text and an empty list or map.
func isEmptyValue(v any) bool {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	}
	return r.IsZero()
}

// format shows the value of a key in one line, as it could be written in
// creel.yaml. Not for variables.
func format(k *Key, v any) string {
	switch v := v.(type) {
	case time.Duration:
		return formatDuration(v)
	case string:
		return v
	case int, int64:
		if k.Kind == KindBytes {
			return formatBytes(reflect.ValueOf(v).Int())
		}
		return fmt.Sprint(v)
	case []string:
		return formatJSON(append([]string{}, v...))
	case []int:
		return formatJSON(append([]int{}, v...))
	}
	if list, ok := sectionsOf(v); ok {
		return formatSections(list)
	}
	panic(fmt.Sprintf("config: key %s has a value of type %T, which format does not know", k.Path, v))
}

// formatJSON leaves "<", ">" and "&" as they are.
func formatJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("config: cannot encode %T: %v", v, err)) // lists of texts and numbers always can
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Keep gives new with the values of old for all keys whose changes need one of
// those things: what it comes to as long as they have not happened.
func Keep(new, old *Config, needs ...Needs) *Config {
	kept := *new
	for _, k := range ordered() {
		if slices.Contains(needs, k.Needs) {
			k.set(&kept, k.value(old))
		}
	}
	return &kept
}

// Hash identifies what an instance runs with: all that needs a gateway restart
// when it changes, and its state folders, of which another creel is the first to
// know, and which it may see only after a restart, if they are in a folder that is
// hidden from it. Else two gateways have the same hash exactly if Diff finds no change
// between them with NeedsGatewayRestart.
//
// It is the hexadecimal SHA-256 of a JSON object from key to value. Empty values
// are left out, so that a later creel with more keys computes the same hash and
// adopts the instance instead of restarting it. Values of variables go in, and
// the hash alone comes out.
func Hash(g Gateway) string {
	cfg := &Config{Gateway: g}
	values := map[string]any{}
	for _, k := range ordered() {
		if v := k.value(cfg); (k.Needs == NeedsGatewayRestart || k.Path == "gateway.state") && !isEmptyValue(v) {
			values[k.Path] = v
		}
	}
	// encoding/json sorts the keys of maps.
	sum := sha256.Sum256([]byte(formatJSON(values)))
	return hex.EncodeToString(sum[:])
}
