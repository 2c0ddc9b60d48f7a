package fake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// TestAIGateway: through the proxy it is reached at its real address, and answers
// who asks for the right thing with the key; nothing else is reached.
func TestAIGateway(t *testing.T) {
	f := NewAIGateway(t, NewLLM(t))
	environ := map[string]string{}
	for _, kv := range f.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		environ[name] = value
	}
	proxy, err := url.Parse(environ["HTTPS_PROXY"])
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(environ["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("it has no authority")
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	post := func(address, key string) (int, string) {
		r, err := http.NewRequest(http.MethodPost, address, bytes.NewReader([]byte(`{"model":"m","messages":[{"role":"user","content":"What is 1 + 2?"}]}`)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(b)
	}
	base := "https://" + AIGatewayHost
	for range 2 { // on one connection
		if status, body := post(base+f.Path(), f.Key); status != http.StatusOK || !strings.Contains(body, `"content":"3"`) {
			t.Errorf("%d %s", status, body)
		}
	}
	if status, _ := post(base+f.Path(), "another"); status != http.StatusUnauthorized {
		t.Errorf("with another key: %d", status)
	}
	if status, _ := post(base+"/v1/other/my-gateway/workers-ai/v1/chat/completions", f.Key); status != http.StatusNotFound {
		t.Errorf("another account: %d", status)
	}
	if got := f.Requests(); len(got) != 4 || got[0].Model != "m" || got[0].Path != f.Path() || got[0].Authorization != "Bearer "+f.Key || got[2].Status != http.StatusUnauthorized {
		t.Errorf("it has got %+v", got)
	}
	if _, err := client.Get("https://api.openai.com/"); err == nil {
		t.Error("there is a way to others")
	}
	if got := f.Refused(); len(got) != 1 || got[0] != "api.openai.com:443" {
		t.Errorf("refused: %q", got)
	}
}
