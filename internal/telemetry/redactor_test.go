package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// Made-up secrets in the shapes of real ones.
const (
	botToken = "123456789:AAF9xQ2dK7mPz0LrT5vWbYc8NhJgUeSoI4k"
	slackKey = "xoxb-1234567890-abcdefGHIJKL"
	modelKey = "sk-ant-api03-Zm9vYmFyYmF6cXV4"
	webToken = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.dBjftJeZ4CVPmB92K27uhbUJU1p1r"
)

func TestRedactShapes(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"query", "GET /x?token=abc&page=2 200", "GET /x?token=[redacted]&page=2 200"},
		{"query, last", "/x?a=1&access_token=abc#top", "/x?a=1&access_token=[redacted]#top"},
		{"query, wide name", "/cb?code=4%2F0Ab&state=s", "/cb?code=[redacted]&state=s"},
		{"query, signature", "/o?X-Amz-Signature=deadbeef&X-Amz-Date=1", "/o?X-Amz-Signature=[redacted]&X-Amz-Date=1"},
		{"query, upper case", "/x?API_KEY=abc", "/x?API_KEY=[redacted]"},
		{"query, name encoded", "/x?%74oken=abc", "/x?%74oken=[redacted]"},
		{"query, name not decodable", "/x?%zz=abc", "/x?%zz=[redacted]"},
		{"fragment", "http://127.0.0.1:8080/#token=abc", "http://127.0.0.1:8080/#token=[redacted]"},
		{"URL in a URL", "/login?next=%2Fx%3Ftoken%3Dabc", "/login?next=%2Fx%3Ftoken%3D[redacted]"},
		{"userinfo", "dial https://me:pw@host/x", "dial https://[redacted]@host/x"},
		{"userinfo with @", "s3://a:b@c@host", "s3://[redacted]@host"},
		{"header", "Authorization: Basic dTpw\r\nAccept: */*", "Authorization: [redacted]\r\nAccept: */*"},
		{"header, proxy", "proxy-authorization: x", "proxy-authorization: [redacted]"},
		{"header, cookie", `Cookie: a="b c"; d=e`, "Cookie: [redacted]"},
		{"header, set-cookie", "Set-Cookie: sid=1; Path=/\nX: y", "Set-Cookie: [redacted]\nX: y"},
		{"header, short token", "X-OpenClaw-Token: abc", "X-OpenClaw-Token: [redacted]"},
		{"header, protocols", "Sec-WebSocket-Protocol: bearer, abc", "Sec-WebSocket-Protocol: [redacted]"},
		{"header, long protocol", "sec-websocket-protocol: chat, 0123456789abcdefgh", "sec-websocket-protocol: [redacted]"},
		{"header as Go prints it", "map[Authorization:[Bearer abc] Accept:[*/*]]", "map[Authorization:[[redacted]] Accept:[*/*]]"},
		{"bearer", "sent Bearer xyz, refused", "sent Bearer [redacted], refused"},
		{"bearer, lower case", "bearer abc123", "bearer [redacted]"},
		{"basic", "Basic dXNlcjpwYXNz was sent", "Basic [redacted] was sent"},
		{"model key", "key " + modelKey + ".", "key [redacted]."},
		{"slack", slackKey, "[redacted]"},
		{"slack app", "xapp-1-A0123456789-abc", "[redacted]"},
		{"telegram", "POST /bot" + botToken + "/getMe", "POST /bot[redacted]/getMe"},
		{"telegram, encoded", "bot" + strings.Replace(botToken, ":", "%3A", 1), "bot[redacted]"},
		{"github", "ghp_abcdefghijklmnopqrst0123", "[redacted]"},
		{"creel's own API tokens", "creel_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRST", "[redacted]"},
		{"no token of creel's", "creel_snapshot_oldest_unsaved_change_seconds_total_and_more", "creel_snapshot_oldest_unsaved_change_seconds_total_and_more"},
		{"github, fine-grained", "github_pat_11ABCDEFG0abcdefghijkl_x", "[redacted]"},
		{"google", "AIzaSyA-0123456789abcdefghijklmnopqrs", "[redacted]"},
		{"jwt", "got " + webToken + " from", "got [redacted] from"},
		{"pem", "-----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY-----",
			"-----BEGIN EC PRIVATE KEY-----[redacted]-----END EC PRIVATE KEY-----"},
		{"pem, cut off", "x -----BEGIN PRIVATE KEY-----\nMHc", "x -----BEGIN PRIVATE KEY-----[redacted]"},
		{"json", `{"token":"abc","port":1}`, `{"token":"[redacted]","port":1}`},
		{"json, spaced", `{"apiKey" : "abc"}`, `{"apiKey" : "[redacted]"}`},
		{"json, escaped quote", `{"password":"a\"b","x":1}`, `{"password":"[redacted]","x":1}`},
		{"json, backslash at the end", `{"password":"a\\","x":1}`, `{"password":"[redacted]","x":1}`},
		{"json in json", `{"m":"{\"token\":\"a\\\"b\",\"x\":1}"}`, `{"m":"{\"token\":\"[redacted]\",\"x\":1}"}`},
		{"json, cut off", `{"clientSecret":"abc`, `{"clientSecret":"[redacted]`},
		{"json5", `botToken: "abc",`, `botToken: "[redacted]",`},
		{"environment", "OPENCLAW_GATEWAY_TOKEN=abc PORT=1", "OPENCLAW_GATEWAY_TOKEN=[redacted] PORT=1"},
		{"environment, quoted", "AWS_SECRET_ACCESS_KEY='a b'", "AWS_SECRET_ACCESS_KEY='[redacted]'"},
		{"yaml", "password: hunter2", "password: [redacted]"},
		{"option", "--api-key=abc --port=1", "--api-key=[redacted] --port=1"},
		{"two", "token=a secret=b", "token=[redacted] secret=[redacted]"},
		{"twice over", "token=[redacted] Authorization: [redacted]", "token=[redacted] Authorization: [redacted]"},
		{"header twice over", "map[Authorization:[[redacted]]]", "map[Authorization:[[redacted]]]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Redact(tt.in)
			if got != tt.want {
				t.Errorf("Redact(%q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
			if again := Redact(got); again != got {
				t.Errorf("Redact of its own result %q gives %q", got, again)
			}
		})
	}
}

// What a person needs to read must stay.
var harmless = []string{
	"",
	"the gateway is ready",
	"exit code: 78",
	"code=78 signal=SIGKILL state=ready key=value",
	`{"code":"AUTH_TOKEN_MISMATCH","retryable":false}`,
	"cannot read the token: permission denied",
	"invalid password: too short",
	"image sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	"listening on http://127.0.0.1:18789/ (pid 4711)",
	"2026-11-23T22:45:51.123Z level=info",
	"totalTokens=12345 maxTokens: 8192",
	"task-force-alpha-bravo and ask-me-anything",
	"WWW-Authenticate: Bearer realm=\"api\"",
	"the bearer of bad news needs a bearer token",
	"basic facts about basic authentication",
	"Sec-WebSocket-Protocol: graphql-ws, chat",
	`"auth":{"token":null,"secretRef":{"source":"env"}}`,
	"author: Jane, encoding: utf-8, tokenizer: bpe",
	"mail to a@b.c about https://host/path?page=2&sort=asc#intro",
	"90%3",
}

func TestRedactLeavesHarmlessTextAlone(t *testing.T) {
	for _, text := range harmless {
		if got := Redact(text); got != text {
			t.Errorf("Redact(%q) = %q", text, got)
		}
	}
}

func TestRedactAllocatesNothingForHarmlessText(t *testing.T) {
	r, err := NewRedactor("correct horse battery staple", "f00f00f00f00")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(harmless, "\n")
	var sink string
	if n := testing.AllocsPerRun(100, func() { sink = r.Redact(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if sink != text {
		t.Errorf("the text was changed: %q", sink)
	}
}

func TestRegisteredSecretIsRemovedInEverySpelling(t *testing.T) {
	const secret = "pä$s/w&r d<\"\\"
	r, err := NewRedactor(secret)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string]string{
		"plain":       secret,
		"query":       url.QueryEscape(secret),
		"path":        url.PathEscape(secret),
		"lower query": strings.ToLower(url.QueryEscape(secret)),
		"json":        strings.Trim(string(asJSON), `"`),
		"go":          strings.TrimSuffix(strings.TrimPrefix(strconv.Quote(secret), `"`), `"`),
	} {
		if got, want := r.Redact("a "+form+" b"), "a [redacted] b"; got != want {
			t.Errorf("%s: %q gives %q, want %q", name, form, got, want)
		}
	}
}

func TestRegisteredSecretsThatOverlap(t *testing.T) {
	r, err := NewRedactor("abcdef", "defghi", "ababab")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"<abcdefghi>":   "<[redacted]>",
		"<ababababab>":  "<[redacted]>",
		"abcdef defghi": "[redacted] [redacted]",
	} {
		if got := r.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

// The mask must not complete another secret.
func TestMaskThatSpellsASecretHidesAll(t *testing.T) {
	r, err := NewRedactor("hello[red", "sesame")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Redact("say hellosesame now"); got != Mask {
		t.Errorf("got %q", got)
	}
}

func TestWeakSecretsAreRefused(t *testing.T) {
	for _, s := range []string{"", "abcde", "redacted"} {
		_, err := NewRedactor(s)
		if !errors.Is(err, ErrWeakSecret) {
			t.Errorf("%q: got %v", s, err)
		} else if s != "" && strings.Contains(err.Error(), fmt.Sprintf("%q", s)) {
			t.Errorf("the error names the secret: %v", err)
		}
	}
}

func TestRegisterIsForTheProcess(t *testing.T) {
	const secret = "only-for-this-test-7261"
	if err := Register(secret); err != nil {
		t.Fatal(err)
	}
	forms := len(*process.forms.Load())
	if err := Register(secret); err != nil {
		t.Fatal(err)
	}
	if again := len(*process.forms.Load()); again != forms {
		t.Errorf("registering twice grew the list from %d to %d", forms, again)
	}
	if got := Redact("x" + secret + "y"); got != "x[redacted]y" {
		t.Errorf("got %q", got)
	}
}

func FuzzRegisteredSecretNeverSurvives(f *testing.F) {
	f.Add("correct horse", "token=", " and so on", "battery")
	f.Add("hello[redac", "x", "y", "sesame")
	f.Add("[redacted]x", "token=", "x", "aaaaaa")
	f.Add("ababab", "ab", "ab", "bababa")
	f.Add("a%2Fb%2Fc", "Cookie: ", "\n", `"\\\\"`)
	f.Fuzz(func(t *testing.T, secret, before, after, other string) {
		r := new(Redactor)
		if r.Register(secret) != nil {
			t.Skip("cannot be registered")
		}
		_ = r.Register(other) // one that is refused is simply not known
		got := r.Redact(before + secret + after + other + secret)
		if strings.Contains(got, secret) {
			t.Errorf("%q survives in %q", secret, got)
		}
	})
}

func FuzzRedactNeverPanics(f *testing.F) {
	for _, s := range harmless {
		f.Add(s)
	}
	f.Add(`\"token\\":\\\"`)
	f.Add("eyJ.eyJ." + webToken + "=%3d%3A://@:%")
	f.Fuzz(func(t *testing.T, text string) {
		got := Redact(text)
		if n := len(got); n > len(text)*(len(Mask)+1) {
			t.Errorf("%d bytes became %d", len(text), n)
		}
	})
}

func BenchmarkRedactHarmless(b *testing.B) {
	r, err := NewRedactor("f00f00f00f00f00f00")
	if err != nil {
		b.Fatal(err)
	}
	const line = "request served gateway=main generation=12 method=GET path=/v1/models status=200 duration=1.2ms"
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		r.Redact(line)
	}
}
