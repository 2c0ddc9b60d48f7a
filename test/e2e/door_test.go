//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// door is how the clients of a folder's creels get in: with a session, which
// outlives creel as the folder does.
type door struct {
	mu     sync.Mutex
	cookie string
}

// strangers may ask for these.
var open = map[string]bool{"/_creel/healthz": true, "/_creel/readyz": true, "/_creel/status": true}

// show adds to a request what shows who asks.
func (d *door) show(ctx context.Context, f *folder, h http.Header, path string) error {
	if open[path] {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cookie == "" {
		if err := d.signIn(ctx, f); err != nil {
			return err
		}
	}
	h.Set("Cookie", d.cookie)
	return nil
}

// signIn has creel print a link and uses it.
func (d *door) signIn(ctx context.Context, f *folder) error {
	r, err := f.tryCommand(ctx, "login", "--json")
	if err != nil || r.code != 0 {
		return fmt.Errorf("creel login: %+v, %w", r, err)
	}
	var answer struct{ Link string }
	if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil {
		return fmt.Errorf("creel login --json: %w", err)
	}
	page, code, _ := strings.Cut(answer.Link, "?code=")
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, page, strings.NewReader(url.Values{"code": {code}}.Encode()))
	if err != nil {
		return err
	}
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(post)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	cookies := resp.Cookies()
	if resp.StatusCode != http.StatusSeeOther || len(cookies) != 1 {
		return fmt.Errorf("%s is answered %s", page, resp.Status)
	}
	d.cookie = cookies[0].Name + "=" + cookies[0].Value
	return nil
}
