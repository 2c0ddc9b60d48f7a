package provider

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// googleRequest is one as OpenClaw makes it, with the credential in Google's field.
func (w *world) googleRequest(path, body string) *http.Request {
	w.t.Helper()
	r := w.request(http.MethodPost, "google"+path, body)
	r.Header.Set("X-Goog-Api-Key", w.place.Credential.Reveal())
	r.Header.Del("Authorization")
	return r
}

// googleStatusOf reads a google.rpc.Status, as Google's clients do.
func googleStatusOf(t *testing.T, body string) (code int, status, reason, message string) {
	t.Helper()
	var v struct {
		Error struct {
			Code            int
			Status, Message string
			Details         []struct {
				Type           string `json:"@type"`
				Reason, Domain string
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil || len(v.Error.Details) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	if d := v.Error.Details[0]; d.Type != "type.googleapis.com/google.rpc.ErrorInfo" || d.Domain != "creel" {
		t.Errorf("%s", body)
	}
	return v.Error.Code, v.Error.Status, v.Error.Details[0].Reason, v.Error.Message
}

// TestGoogleStream: a chat with Gemini passes untouched, piece by piece, with the key in
// the credential's place, and is counted for the model in its path.
func TestGoogleStream(t *testing.T) {
	pieces := []string{
		"data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hel\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 100,\"totalTokenCount\": 100},\"modelVersion\": \"gemini-3.1-pro-preview\"}\r\n\r\n",
		"data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"lo\"}],\"role\": \"model\"},\"finishReason\": \"STOP\"}],\"usageMetadata\": {\"promptTokenCount\": 100,\"candidatesTokenCount\": 12,\"totalTokenCount\": 142,\"thoughtsTokenCount\": 30}}\r\n\r\n",
	}
	got := make(chan struct{})
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, piece := range pieces {
			_, _ = io.WriteString(w, piece)
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-got:
			case <-r.Context().Done():
				return
			}
		}
	})
	const body = `{"contents":[{"role":"user","parts":[{"text":"Say hello."}]}],"generationConfig":{"maxOutputTokens":64}}`
	resp, err := w.client.Do(w.googleRequest("/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent?alt=sse", body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, piece := range pieces {
		b := make([]byte, len(piece))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != piece {
			t.Fatalf("%q, %v", b, err)
		}
		got <- struct{}{}
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
	r, sent := w.seen.last(t)
	if r.RequestURI != "/g/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent?alt=sse" || r.Header.Get("X-Goog-Api-Key") != realKey || r.Header.Get("Authorization") != "" || sent != body {
		t.Errorf("the provider has got %s with %s", dump(t, r), sent)
	}
	u := w.usageOf("gemini-3.1-pro-preview", func(u ModelUsage) bool { return u.Answers == 1 })
	if u.Provider != "google" || u.Requests != 1 || u.InputTokens != 100 || u.OutputTokens != 42 || u.Unmetered != 0 || len(u.Errors) != 0 {
		t.Errorf("%+v", u)
	}
	w.wantNoSecret(w.log.String())
}

// TestGoogleKeyInQuery: the credential may stand in the query, as Google's clients have
// it, and nothing that speaks of a key in there goes on, or into creel's log.
func TestGoogleKeyInQuery(t *testing.T) {
	w := newWorld(t, answerOK)
	credential := w.place.Credential.Reveal()
	const path, other = "/v1beta/models/m:generateContent", "AIza-somebody-elses"
	for query, want := range map[string]string{
		"key=" + credential:                                                                  "",
		"alt=sse&key=" + credential + "&x=a%20b;c=%zz":                                       "?alt=sse&x=a%20b;c=%zz",
		"%24key=" + credential + "&$alt=sse":                                                 "?$alt=sse",
		"k%65y=" + credential[:10] + url.QueryEscape(credential[10:]):                        "",
		"key=" + other + "&key=" + credential:                                                "",
		"access_token=" + other + "&oauth_token=" + other + "&key=" + credential + "&keys=1": "?keys=1",
	} {
		r := w.googleRequest(path+"?"+query, `{"contents":[]}`)
		r.Header.Del("X-Goog-Api-Key")
		if resp, body := w.do(r); resp.StatusCode != 200 {
			t.Errorf("%s: %s %s", query, resp.Status, body)
			continue
		}
		got, _ := w.seen.last(t)
		if got.RequestURI != "/g"+path+want || got.Header.Get("X-Goog-Api-Key") != realKey {
			t.Errorf("%s became %s", query, dump(t, got))
		}
	}
	before := w.seen.count()
	for query, want := range map[string]int{
		"key=" + other: 401, "": 401, "k=" + credential: 401, "key=" + credential + "&x=" + credential: 400, "key=" + credential + ";x=y": 401,
	} {
		r := w.googleRequest(path+"?"+query, `{"contents":[]}`)
		r.Header.Del("X-Goog-Api-Key")
		resp, body := w.do(r)
		if code, _, _, _ := googleStatusOf(t, body); resp.StatusCode != want || code != want {
			t.Errorf("%s: %s %s", query, resp.Status, body)
		}
		w.wantNoSecret(body)
	}
	// Elsewhere a query is no place for it.
	r := w.request(http.MethodGet, "openai/models?key="+credential, "")
	if resp, body := w.do(r); resp.StatusCode != 400 || !strings.Contains(body, "credential_in_url") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if n := w.seen.count(); n != before {
		t.Errorf("%d requests have reached the provider", n-before)
	}
	// What goes wrong on the way is logged without it.
	w.proxy.byName["google"].Base = freeBase(t)
	r = w.googleRequest(path+"?key="+credential, `{"contents":[]}`)
	r.Header.Del("X-Goog-Api-Key")
	resp, body := w.do(r)
	if code, status, reason, _ := googleStatusOf(t, body); resp.StatusCode != 502 || code != 502 || status != "UNAVAILABLE" || reason != "PROVIDER_UNREACHABLE" {
		t.Errorf("%s %s", resp.Status, body)
	}
	w.restart() // what is logged is logged by then
	if log := w.log.String(); !strings.Contains(log, "a model provider did not answer") {
		t.Errorf("the log is %s", log)
	}
	w.wantNoSecret(w.log.String(), body)
}

// TestGoogleBudget: what is over is refused as Google refuses, and no way of writing a
// model's name passes its budget by.
func TestGoogleBudget(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5}}`)
	}, withBudgets(Budget{Provider: "google", Model: "gemini-x", Requests: 1}))
	ask := func(path, body string, want int) string {
		t.Helper()
		resp, answer := w.do(w.googleRequest(path, body))
		if resp.StatusCode != want {
			t.Errorf("%s %.60s: %s %s, want %d", path, body, resp.Status, answer, want)
		}
		return answer
	}
	ask("/v1beta/models/gemini-x:generateContent", `{"contents":[]}`, 200)
	answer := ask("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", `{"contents":[]}`, 429)
	if code, status, reason, message := googleStatusOf(t, answer); code != 429 || status != "RESOURCE_EXHAUSTED" || reason != "BUDGET_EXCEEDED" ||
		!strings.HasPrefix(message, "creel: the daily budget of google/gemini-x, 1 requests, is used up; it resets at 2026-11-27 00:00") {
		t.Errorf("%s", answer)
	}
	w.wantTold(1)
	for path, body := range map[string]string{
		"/v1/models/gemini-x:generateContent": `{}`, "/v1beta/models/gemini%2Dx:generateContent": `{}`, "/v1beta/models%2Fgemini-x:generateContent": `{}`,
		"/v1beta/models/gemini-x%3AgenerateContent": `{}`, "/v1beta/models/gemini%252Dx:generateContent": `{}`,
		"/v1beta/models/gemini-x:batchGenerateContent": `{}`, "/v1beta/models/gemini-x:countTokens?alt=json": `{"model":"models/cheap"}`,
		"/v1beta/openai/chat/completions": `{"model":"gemini-x"}`, "/v1beta/cachedContents": `{"model":"models/gemini-x"}`, "/v1beta/interactions": `{"model":"gemini-x"}`,
	} {
		ask(path, body, 429)
	}
	for path, body := range map[string]string{
		"/batch": "--b\r\nContent-Type: application/http\r\n\r\nPOST /v1beta/models/gemini-x:generateContent\r\n\r\n{}\r\n--b--", "/batch/v1beta/models/cheap:x": `text`,
		"/v1beta/interactions": `{"agent":"x"}`, "/v1beta/models/gemini-x": `{}`, "/v1beta/models/gemini-x:generateContent/": `{}`, "/v1beta/models/:x": `{}`,
		"/v1beta/openai/chat/completions": `{"model":"cheap","Model":"gemini-x"}`,
	} {
		if _, _, reason, _ := googleStatusOf(t, ask(path, body, 400)); reason != "MODEL_UNKNOWN" {
			t.Errorf("%s: %s", path, reason)
		}
	}
	before := w.seen.count()
	if before != 1 {
		t.Errorf("%d were sent, want 1", before)
	}
	for path, body := range map[string]string{
		"/v1beta/models/cheap:generateContent":         `{"contents":[],"model":"models/gemini-x"}`, // the path binds it
		"/v1beta/tunedModels/gemini-x:generateContent": `{}`, "/upload/v1beta/files?uploadType=multipart": `text`, "/v1beta/openai/embeddings": `{"model":"models/cheap"}`,
	} {
		ask(path, body, 200)
	}
	if resp, body := w.do(w.request(http.MethodGet, "google/v1beta/models", "")); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, body)
	}
	var models []string
	for _, u := range w.proxy.Usage() {
		models = append(models, fmt.Sprint(u.Model, " ", u.Requests))
	}
	if got := strings.Join(models, ", "); got != " 2, cheap 2, gemini-x 1, tunedModels/gemini-x 1" {
		t.Errorf("counted: %s", got)
	}
}

// TestGoogleVersion: the gateway is given the API's version, wherever the address had it.
func TestGoogleVersion(t *testing.T) {
	for base, want := range map[string]string{
		"": "https://generativelanguage.googleapis.com", "https://generativelanguage.googleapis.com/v1beta": "https://generativelanguage.googleapis.com",
		"https://gateway.ai.cloudflare.com/v1/a/g/google-ai-studio": "https://gateway.ai.cloudflare.com/v1/a/g/google-ai-studio", "http://h:1/a%2Fb/v1beta/": "http://h:1/a%2Fb",
	} {
		p, err := newProvider("google", "google", base)
		if err != nil {
			t.Fatal(err)
		}
		if p.Base.String() != want || p.Version() != "/v1beta" || !p.Native() || p.AtHome() != (want == "https://generativelanguage.googleapis.com") {
			t.Errorf("%s: %s, at home %v", base, p.Base, p.AtHome())
		}
	}
}
