package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"
)

// maxDepth is how deep RedactValue follows maps and lists.
const maxDepth = 12

// RedactValue returns a copy of v, known under the name key, that is safe to
// show. It consists of nothing but nil, bool, numbers, time.Time, string,
// []any and map[string]any, so it always marshals to JSON and shares no memory
// with v. An error and a fmt.Stringer become their text; any other type
// becomes what its JSON decodes to. What cannot be shown becomes a string that
// says so: RedactValue never panics, whatever v's methods do.
func RedactValue(key string, v any) (shown any) {
	defer func() {
		if p := recover(); p != nil {
			shown = fmt.Sprintf("(cannot show a %T: it panicked)", v)
		}
	}()
	return redactValue(key, v, 0)
}

func redactValue(key string, v any, depth int) any {
	if depth > maxDepth {
		return "(nested too deeply to show)"
	}
	secret := classify(key) != plainName
	switch x := v.(type) {
	case nil, bool:
		return x
	case string:
		return redactNamed(secret, x)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		if secret {
			return Mask
		}
		return x
	case float64:
		if secret {
			return Mask
		}
		if math.IsNaN(x) || math.IsInf(x, 0) { // JSON has no such numbers
			return fmt.Sprint(x)
		}
		return x
	case time.Time:
		if y := x.Year(); y < 0 || y > 9999 { // RFC 3339 has no such years
			return x.String()
		}
		return x
	case *url.URL:
		return RedactURL(x)
	case http.Header:
		return redactByJSON(key, RedactHeader(x), depth)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[Redact(k)] = redactValue(k, e, depth+1)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = redactValue(key, e, depth+1)
		}
		return out
	case error:
		return redactNamed(secret, x.Error())
	case fmt.Stringer:
		return redactNamed(secret, x.String())
	default:
		return redactByJSON(key, v, depth)
	}
}

func redactNamed(secret bool, text string) string {
	if secret && text != "" {
		return Mask
	}
	return Redact(text)
}

// redactByJSON turns any other type into maps and lists. Numbers stay as they
// were written: a float64 would round a large integer.
func redactByJSON(key string, v any, depth int) any {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("(cannot show a %T)", v)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var plain any
	if err := dec.Decode(&plain); err != nil {
		return fmt.Sprintf("(cannot show a %T)", v)
	}
	return redactDecoded(key, plain, depth)
}

// redactDecoded is redactValue for what a JSON decoder gives; a json.Number is
// a fmt.Stringer and would become a string there.
func redactDecoded(key string, v any, depth int) any {
	if depth > maxDepth {
		return "(nested too deeply to show)"
	}
	switch x := v.(type) {
	case json.Number:
		if classify(key) != plainName {
			return Mask
		}
		return x
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[Redact(k)] = redactDecoded(k, e, depth+1)
		}
		return out
	case []any:
		for i, e := range x {
			x[i] = redactDecoded(key, e, depth+1)
		}
		return x
	default:
		return redactValue(key, v, depth)
	}
}
