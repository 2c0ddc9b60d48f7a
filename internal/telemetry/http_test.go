package telemetry

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"
)

func TestRedactURL(t *testing.T) {
	tests := []struct{ in, want string }{
		{"https://host/path?a=1&b=2#intro", "https://host/path?a=1&b=2#intro"},
		{"https://me:pw@host:8/p?token=x", "https://[redacted]@host:8/p?token=[redacted]"},
		{"https://me@host", "https://[redacted]@host"},
		{"/p?sig=a'b(c)&page=2", "/p?sig=[redacted]&page=2"},
		{"/p?a=1;secret=2", "/p?a=1;secret=[redacted]"},
		{"/p?token", "/p?token"},
		{"/p?token=", "/p?token="},
		{"/#token=x&gateway=y", "/#token=[redacted]&gateway=y"},
		{"/#/chat?session=x", "/#/chat?session=[redacted]"},
		{"https://api.telegram.org/bot" + botToken + "/getMe", "https://api.telegram.org/bot[redacted]/getMe"},
		{"mailto:a@b.c?auth=x", "mailto:a@b.c?auth=[redacted]"},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		before := *u
		if got := RedactURL(u); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.in, got, tt.want)
		}
		if !reflect.DeepEqual(before, *u) {
			t.Errorf("%s was changed", tt.in)
		}
	}
	if got := RedactURL(nil); got != "" {
		t.Errorf("nil gives %q", got)
	}
	// A quote in a raw query ends a value in free text, but not in a URL.
	if got := RedactURL(&url.URL{Path: "/", RawQuery: `token=a"b c`}); got != "/?token=[redacted]" {
		t.Errorf("got %s", got)
	}
}

func TestRedactHeader(t *testing.T) {
	h := http.Header{
		"Authorization":          {"Bearer x"},
		"Proxy-Authorization":    {"Basic x"},
		"Cookie":                 {"a=b", "c=d"},
		"Set-Cookie":             {"a=b"},
		"X-Openclaw-Token":       {"x"},
		"X-Api-Key":              {"x"},
		"Sec-Websocket-Protocol": {"bearer, x"},
		"Referer":                {"https://h/?token=x"},
		"Accept":                 {"text/html"},
	}
	want := http.Header{
		"Authorization":          {Mask},
		"Proxy-Authorization":    {Mask},
		"Cookie":                 {Mask, Mask},
		"Set-Cookie":             {Mask},
		"X-Openclaw-Token":       {Mask},
		"X-Api-Key":              {Mask},
		"Sec-Websocket-Protocol": {Mask},
		"Referer":                {"https://h/?token=[redacted]"},
		"Accept":                 {"text/html"},
	}
	if got := RedactHeader(h); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if h.Get("Authorization") != "Bearer x" {
		t.Error("the header itself was changed")
	}
	if got := RedactHeader(http.Header{"Sec-Websocket-Protocol": {"chat"}}); got.Get("Sec-Websocket-Protocol") != "chat" {
		t.Errorf("got %v", got)
	}
	if RedactHeader(nil) != nil {
		t.Error("nil does not give nil")
	}
}
