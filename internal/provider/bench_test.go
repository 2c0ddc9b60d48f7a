package provider

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// The cost of the proxy, beside a plain httputil.ReverseProxy with the same
// transport settings in front of the same provider.
//
//	go test -run ^$ -bench . ./internal/provider

// benchProvider answers a chat of some KiB, as a stream of 100 pieces or as one.
func benchProvider(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Query().Get("stream") == "" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"`+strings.Repeat("word ", 400)+`"}}],"usage":{"prompt_tokens":19,"completion_tokens":10}}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	for range 100 {
		_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}],"usage":null}`+"\n\n")
		_ = flush()
	}
	_, _ = io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n")
}

func BenchmarkProxy(b *testing.B) {
	body := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("word ", 8000) + `"}],"stream":true}`
	w := newWorld(b, benchProvider)
	behind, err := url.Parse(w.provider.URL)
	if err != nil {
		b.Fatal(err)
	}
	plain := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(behind) },
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8}, FlushInterval: -1,
	})
	defer plain.Close()
	for _, query := range []string{"", "?stream=1"} {
		for name, base := range map[string]string{"creel": w.place.URL("openai") + "/chat/completions", "plain": plain.URL + "/v1/chat/completions"} {
			b.Run(fmt.Sprintf("stream=%v/%s", query != "", name), func(b *testing.B) {
				client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
				defer client.CloseIdleConnections()
				b.ReportAllocs()
				for b.Loop() {
					r, err := http.NewRequest(http.MethodPost, base+query, strings.NewReader(body))
					if err != nil {
						b.Fatal(err)
					}
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Authorization", "Bearer "+w.place.Credential.Reveal())
					resp, err := client.Do(r)
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.Copy(io.Discard, resp.Body)
					if err != nil || n < 1000 || resp.StatusCode != 200 {
						b.Fatal(resp.Status, n, err)
					}
					_ = resp.Body.Close() // read to its end
				}
			})
		}
	}
}
