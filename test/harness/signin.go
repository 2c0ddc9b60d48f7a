package harness

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/auth"
)

// SignIn uses a link of creel's up, as a browser does, and gives what the browser
// sends with each request from then on: a Cookie field.
func SignIn(t *testing.T, client *http.Client, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || u.Path != auth.LoginPath || u.Query().Get("code") == "" {
		t.Fatalf("%q is not a link that signs in (%v)", link, err)
	}
	form := url.Values{"code": {u.Query().Get("code")}}
	u.RawQuery = ""
	resp, err := client.Post(u.String(), "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("signing in: %s %v\n%s", resp.Status, resp.Header, b)
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

// Plain is a client that follows no redirects and keeps no connections.
func Plain() *http.Client {
	return &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// SignIn has creel print a link and uses it up.
func (c *Creel) SignIn() string {
	c.T.Helper()
	resp, err := api.Client(c.DataDir()).Post(api.ControlURL("login"), "", nil)
	if err != nil {
		c.T.Fatal(err)
	}
	defer resp.Body.Close()
	var answer api.Login
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusCreated {
		c.T.Fatal(resp.Status, err)
	}
	return SignIn(c.T, Plain(), answer.Link)
}
