package telemetry

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

type panicky struct{}

func (panicky) String() string { panic("no") }

type nested struct {
	Name     string `json:"name"`
	APIKey   string `json:"apiKey"`
	Big      int64  `json:"big"`
	Children []nested
}

func TestRedactValue(t *testing.T) {
	loop := map[string]any{}
	loop["again"] = loop
	tests := []struct {
		name, key string
		in        any
		want      string // as JSON
	}{
		{"nil", "a", nil, `null`},
		{"string", "a", "token=x", `"token=[redacted]"`},
		{"string by name", "bot_token", "x", `"[redacted]"`},
		{"empty string by name", "token", "", `""`},
		{"number", "port", 8080, `8080`},
		{"number by name", "password", 123456, `"[redacted]"`},
		{"not a number", "a", math.NaN(), `"NaN"`},
		{"error", "error", errors.New("dial https://u:p@h"), `"dial https://[redacted]@h"`},
		{"duration", "took", 2 * time.Second, `"2s"`},
		{"time", "at", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), `"2026-01-02T03:04:05Z"`},
		{"a year that JSON refuses", "at", time.Date(12026, 1, 2, 3, 4, 5, 0, time.UTC), `"12026-01-02 03:04:05 +0000 UTC"`},
		{"url", "u", &url.URL{Path: "/", RawQuery: "key=x"}, `"/?key=[redacted]"`},
		{"header", "h", http.Header{"Cookie": {"a"}, "X-A": {"b"}}, `{"Cookie":["[redacted]"],"X-A":["b"]}`},
		{"map", "m", map[string]any{"token": "x", "n": 1, "l": []any{"secret=y"}},
			`{"l":["secret=[redacted]"],"n":1,"token":"[redacted]"}`},
		{"secret in a name", "m", map[string]any{"/?key=x": 1}, `{"/?key=[redacted]":1}`},
		{"list by name", "credentials", []string{"x", "y"}, `["[redacted]","[redacted]"]`},
		{"struct", "s", nested{Name: "n", APIKey: "x", Big: math.MaxInt64, Children: []nested{{APIKey: "y"}}},
			`{"Children":[{"Children":null,"apiKey":"[redacted]","big":0,"name":""}],"apiKey":"[redacted]","big":9223372036854775807,"name":"n"}`},
		{"secret", "s", Secret("x"), `"[redacted]"`},
		{"channel", "c", make(chan int), `"(cannot show a chan int)"`},
		{"panic", "p", panicky{}, `"(cannot show a telemetry.panicky: it panicked)"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := json.Marshal(RedactValue(tt.key, tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if string(b) != tt.want {
				t.Errorf("got %s\nwant %s", b, tt.want)
			}
		})
	}
	b, err := json.Marshal(RedactValue("loop", loop))
	if err != nil || !strings.Contains(string(b), "nested too deeply") {
		t.Errorf("a map that holds itself gives %s, %v", b, err)
	}
}

func TestRedactValueSharesNothing(t *testing.T) {
	inner := []any{"a"}
	in := map[string]any{"l": inner}
	out := RedactValue("m", in)
	inner[0] = "changed"
	in["new"] = true
	if b, err := json.Marshal(out); err != nil || string(b) != `{"l":["a"]}` {
		t.Errorf("got %s, %v", b, err)
	}
}
