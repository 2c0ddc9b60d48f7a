package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/api"
	"creel/internal/auth"
	"creel/internal/config"
)

// newGate is a gate in front of a gateway.
func newGate(t *testing.T) (*auth.Gate, *httptest.Server) {
	t.Helper()
	gate, err := auth.New(auth.Options{Name: "gw", Dir: filepath.Join(t.TempDir(), "auth"), Config: config.Defaults().Auth, Listen: "127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gate.Handler(nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	t.Cleanup(func() {
		server.Close()
		if err := gate.Close(); err != nil {
			t.Error(err)
		}
	})
	return gate, server
}

// asked gives the status of an answer, and its cookies; what is sent is a form.
func asked(t *testing.T, server *httptest.Server, path string, form url.Values, cookies []*http.Cookie) (int, []*http.Cookie) {
	t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range cookies {
		req.AddCookie(c)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Cookies()
}

// from runs a command line with a standard input.
func from(t *testing.T, input string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	write(t, path, input)
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	before := os.Stdin
	defer func() { os.Stdin = before }()
	os.Stdin = in
	return creel(args...)
}

// notes is what a command prints while it runs.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// typed runs a command line at a terminal, with answers to its prompts, each typed when
// the terminal shows nothing of it. seen is what the terminal shows.
func typed(t *testing.T, answers [][2]string, args ...string) (code int, stdout, stderr, seen string) {
	t.Helper()
	person, program := newTerminal(t)
	before := os.Stdin
	defer func() { os.Stdin = before }()
	os.Stdin = program
	var out bytes.Buffer
	var said notes
	done := make(chan int, 1)
	go func() { done <- Main(args, nil, &out, &said) }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, a := range answers {
		for {
			if strings.HasSuffix(said.String(), a[0]) {
				state, err := unix.IoctlGetTermios(int(person.Fd()), unix.TCGETS)
				if err != nil {
					t.Fatal(err)
				}
				if state.Lflag&unix.ECHO == 0 {
					break
				}
			}
			if ctx.Err() != nil {
				t.Fatalf("it does not ask %q without echo: %s", a[0], said.String())
			}
			time.Sleep(time.Millisecond) // polling
		}
		if _, err := io.WriteString(person, a[1]+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	code = <-done
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(person) // it ends with EIO
	return code, out.String(), said.String(), string(text)
}

// TestOwnerPassword: it is read from a terminal that does not show it, or from standard
// input if that is said, and never is an argument; whoever was signed in by an older one
// is signed out, and nobody else.
func TestOwnerPassword(t *testing.T) {
	gate, server := newGate(t)
	dir := answering(t, api.Options{Journal: told(1), Identity: gate})
	owner := func(args ...string) []string {
		return append([]string{"owner", "password", "--data-dir", dir}, args...)
	}
	expect := func(what string, code, want int, text string, says ...string) {
		t.Helper()
		ok := code == want
		for _, s := range says {
			ok = ok && strings.Contains(text, s)
		}
		if !ok || strings.Contains(text, "horse") || strings.Contains(text, "staple") {
			t.Fatalf("%s: exit code %d: %s; want %d and %q", what, code, text, want, says)
		}
	}
	code, stdout, stderr := creel(owner()...)
	expect("none", code, 0, stdout+stderr, "no password is set")
	code, stdout, stderr = creel(owner("set", "correct horse")...)
	expect("as an argument", code, 2, stdout+stderr, "no argument")
	code, stdout, stderr = from(t, "correct horse\n", owner("set")...)
	expect("no terminal", code, 2, stdout+stderr, "--stdin")
	code, stdout, stderr = from(t, "horse\n", owner("set", "--stdin")...)
	expect("too short", code, 1, stdout+stderr, "8 to 1024")
	if gate.Password().Set {
		t.Fatal("it is set all the same")
	}
	code, stdout, stderr = from(t, "correct horse\n", owner("set", "--stdin", "--json")...)
	expect("from standard input", code, 0, stdout+stderr, `"set": true`, `"since"`)

	status, byPassword := asked(t, server, auth.LoginPath, url.Values{"password": {"correct horse"}}, nil)
	if status != http.StatusSeeOther {
		t.Fatalf("signing in by it: %d", status)
	}
	link, _, err := gate.LoginLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, code1, _ := strings.Cut(link, "code=")
	_, byLink := asked(t, server, auth.LoginPath, url.Values{"code": {code1}}, nil)
	let := func() []int {
		a, _ := asked(t, server, "/", nil, byPassword)
		b, _ := asked(t, server, "/", nil, byLink)
		return []int{a, b}
	}
	if got := let(); !slices.Equal(got, []int{200, 200}) {
		t.Fatalf("signed in by the password, and by a link: %v", got)
	}

	code, stdout, stderr, seen := typed(t, [][2]string{{"New password: ", "battery staple"}, {"Once more: ", "battery stable"}}, owner("set")...)
	expect("not the same twice", code, 1, stdout+stderr+seen, "not the same")
	if got := let(); !slices.Equal(got, []int{200, 200}) {
		t.Fatalf("it was not changed, and they are let in: %v", got)
	}
	code, stdout, stderr, seen = typed(t, [][2]string{{"New password: ", "battery staple"}, {"Once more: ", "battery staple"}}, owner("set")...)
	expect("at a terminal", code, 0, stdout+stderr+seen, "signed out")
	if got := let(); !slices.Equal(got, []int{401, 200}) {
		t.Errorf("by the old password, and by a link: %v", got)
	}
	if status, _ := asked(t, server, auth.LoginPath, url.Values{"password": {"battery staple"}}, nil); status != http.StatusSeeOther {
		t.Errorf("signing in by the new one: %d", status)
	}

	code, stdout, stderr = creel(owner("remove")...)
	expect("removed", code, 0, stdout+stderr, "creel login")
	code, stdout, stderr = creel(owner("remove")...)
	expect("removed again", code, 1, stdout+stderr, "no password is set")
	code, stdout, stderr = creel("owner", "password", "--data-dir", t.TempDir())
	expect("without a creel", code, 3, stdout+stderr, "no creel is running")
}

// keyring is a gate with passkeys.
type keyring struct {
	*auth.Gate
	keys []auth.Passkey
}

func (k *keyring) Passkeys() []auth.Passkey { return k.keys }

func (k *keyring) RemovePasskey(_ context.Context, id string) error {
	k.keys = slices.DeleteFunc(slices.Clone(k.keys), func(p auth.Passkey) bool { return p.ID == id })
	return nil
}

func TestOwnerPasskeys(t *testing.T) {
	gate, _ := newGate(t)
	now := time.Now()
	keys := &keyring{gate, []auth.Passkey{
		{ID: "aaaa1111", Name: "phone\x1b[2J", Created: now.Add(-time.Hour), LastUsed: now.Add(-time.Minute)}, {ID: "aaaa2222", Name: "key", Created: now.Add(-2 * time.Hour)},
	}}
	dir := answering(t, api.Options{Journal: told(1), Identity: keys})
	code, stdout, stderr := creel("owner", "passkeys", "list", "--data-dir", dir)
	for _, want := range []string{"aaaa1111  phone?[2J", "1 min 0 s ago", "aaaa2222  key", "never"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d: %s%s, want %q", code, stdout, stderr, want)
		}
	}
	if code, _, stderr := creel("owner", "passkeys", "remove", "aaaa", "--data-dir", dir); code != 1 || !strings.Contains(stderr, "2 passkeys") || len(keys.keys) != 2 {
		t.Errorf("the beginning of two: exit code %d: %s", code, stderr)
	}
	if code, _, stderr := creel("owner", "passkeys", "remove", "b", "--data-dir", dir); code != 1 || !strings.Contains(stderr, "creel owner passkeys list") {
		t.Errorf("the beginning of none: exit code %d: %s", code, stderr)
	}
	code, stdout, stderr = creel("owner", "passkeys", "remove", "aaaa1", "aaaa2", "--data-dir", dir)
	if code != 0 || stdout != "removed passkey aaaa1111\nremoved passkey aaaa2222\n" || len(keys.keys) != 0 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := creel("owner", "passkeys", "--data-dir", dir); code != 0 || stdout != "" || !strings.Contains(stderr, "auth.passkeys.host") {
		t.Errorf("none: exit code %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := creel("owner", "passkeys", "--json", "--data-dir", dir); code != 0 || !strings.Contains(stdout, `"passkeys": []`) {
		t.Errorf("none: exit code %d: %s", code, stdout)
	}
}
