package ui

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve makes pages as a principal gets them: what the gate would refuse is
// refused.
func serve(t *testing.T, o Options, who func() auth.Principal) http.Handler {
	t.Helper()
	u := New(o)
	t.Cleanup(u.Close)
	u.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	mux := http.NewServeMux()
	for _, route := range u.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			p := who()
			if !p.May(route.Needs) {
				http.Error(w, "not allowed", http.StatusForbidden)
				return
			}
			route.Handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
		})
	}
	return mux
}

func asOwner() auth.Principal { return anna }

// patiently gives slow fakes the time that a stream would.
func patiently(r *http.Request) *http.Request {
	return r.WithContext(withPatience(r.Context(), fullPatience))
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, patiently(httptest.NewRequest(http.MethodGet, path, nil)))
	return w.Code, w.Body.String()
}

// post sends a form and follows to the page that it leads to.
func post(t *testing.T, h http.Handler, path string, form url.Values) (to, page string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	h.ServeHTTP(w, patiently(r))
	if w.Code != http.StatusSeeOther {
		t.Fatalf("POST %s: %d %s", path, w.Code, w.Body)
	}
	to = w.Header().Get("Location")
	_, page = get(t, h, to)
	return to, page
}

// paths are all pages of a full world.
func (w *world) paths() []string {
	last, first := w.cellar.list[len(w.cellar.list)-1].ID, w.cellar.list[0].ID
	list := []string{
		"", "?range=day", "timeline", "timeline?kind=crash", "devices", "snapshots", "snapshots/" + string(last), "snapshots/" + string(last) + "/files",
		"snapshots/" + string(last) + "/files?path=state/agents", "snapshots/diff?from=" + string(first) + "&to=" + string(last), "logs", "logs?q=turn+7&level=warn", "settings", "settings?doctor=1",
		"gateway/restart", "gateway/stop", "devices/reject?id=" + w.desk.list[0].ID, "devices/revoke?id=" + w.desk.list[2].ID,
		"snapshots/" + string(first) + "/restore", "snapshots/" + string(first) + "/remove", "settings/sessions/revoke?id=s2", "settings/tokens/revoke?id=t1",
	}
	for i := range list {
		list[i] = Prefix + list[i]
	}
	return list
}

// TestPages: every page of a full world, and of one in which there is nothing.
func TestPages(t *testing.T) {
	w := full()
	h := serve(t, w.opts, asOwner)
	for _, path := range w.paths() {
		status, body := get(t, h, path)
		if status != http.StatusOK || !strings.Contains(body, "</html>") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	empty := serve(t, Options{Supervisor: newSupervisor(w.sup.st), Journal: newJournal()}, asOwner)
	for _, path := range []string{"", "timeline", "devices", "snapshots", "logs", "settings"} {
		if status, body := get(t, empty, Prefix+path); status != http.StatusOK || !strings.Contains(body, "</html>") {
			t.Errorf("empty %s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"snapshots/none", "snapshots/none/files", "snapshots/diff?from=a&to=b", "devices/revoke?id=1", "timeline?kind=none", "jobs/none", "snapshots/none/restore"} {
		if status, body := get(t, h, Prefix+path); status != http.StatusNotFound || !strings.Contains(body, "</html>") {
			t.Errorf("%s: %d", path, status)
		}
	}
}
