package auth

import (
	"net/url"
	"strings"
	"testing"
)

// stray are places that lead elsewhere, in one browser or another.
var stray = []string{
	"", "x", "http://evil.example/", "//evil.example", "///evil.example", `/\evil.example`, `\/evil.example`, "/\t/evil.example", "/\n/evil.example",
	"javascript:alert(1)", "data:text/html,x", " /x", "/\x00/x", "/\u2028/x", "/%zz", "/_creel/login", "/_creel/login?next=/_creel/login", "/_creel/login/oidc", "/_creel/logout", "/" + strings.Repeat("x", maxNext),
}

func TestSafeNext(t *testing.T) {
	for _, next := range stray {
		if got := safeNext(next, "/home"); got != "/home" {
			t.Errorf("%q leads to %q", next, got)
		}
	}
	for next, want := range map[string]string{"/": "/", "/chat?session=a%20b&x=//y": "/chat?session=a%20b&x=//y", "/a#token=x": "/a", "/_creel/": "/_creel/", "/_creel/loginx": "/_creel/loginx", "/..//evil": "/..//evil", "/@evil.example": "/@evil.example"} {
		if got := safeNext(next, "/home"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// FuzzSafeNext: whatever is asked for, the place is on this host, as RFC 3986 says
// and as browsers take it, which read "\" as "/" and drop tabs and line breaks.
func FuzzSafeNext(f *testing.F) {
	for _, next := range stray {
		f.Add(next)
	}
	f.Add("/chat?x=1#y")
	base, err := url.Parse("https://creel.example/_creel/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := safeNext(next, "/home")
		browsers := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(got))
		if browsers != got || strings.HasPrefix(browsers, "//") || !strings.HasPrefix(browsers, "/") {
			t.Fatalf("%q leads to %q", next, got)
		}
		to, err := base.Parse(got)
		if err != nil || to.Host != base.Host || to.Scheme != base.Scheme || to.User != nil || to.Fragment != "" {
			t.Fatalf("%q leads to %v (%v)", next, to, err)
		}
	})
}
