package fake

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestGemini(t *testing.T) {
	gemini := NewGemini(t)
	ask := func(target, key, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, gemini.URL()+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-goog-api-key", key)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	const target = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
	const sum = `{"contents":[{"role":"user","parts":[{"text":"What is 1 + 2?"}]},{"role":"model","parts":[{"text":"3"}]},{"role":"user","parts":[{"text":"What is 20 + 22?"}]}]}`
	status, text := ask(target, GeminiKey, sum)
	if status != 200 || strings.Count(text, "data: {") != 2 || !strings.Contains(text, `"text":"4"`) || !strings.Contains(text, `"text":"2"`) || !strings.Contains(text, `"finishReason":"STOP"`) ||
		!strings.Contains(text, `"candidatesTokenCount":12`) || !strings.HasSuffix(text, "\r\n\r\n") {
		t.Errorf("%d %s", status, text)
	}
	for _, c := range []struct {
		target, key, body string
		want              int
	}{{target, "AIza-another", sum, 400}, {"/v1beta/models/gemini-x:streamGenerateContent", GeminiKey, sum, 404}, {"/v1beta/chat/completions", GeminiKey, sum, 404}, {target, GeminiKey, "text", 400}} {
		if status, text := ask(c.target, c.key, c.body); status != c.want || !strings.Contains(text, `"error":{"code":`) {
			t.Errorf("%s: %d %s", c.target, status, text)
		}
	}
	if got := gemini.Requests(); len(got) != 5 || got[0].Target != target || got[0].Key != GeminiKey || got[0].Body != sum {
		t.Errorf("%+v", got)
	}
}
