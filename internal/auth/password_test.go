package auth

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/config"
)

// TestPassword: the right one signs in, wrong ones are slowed down, and a link
// still works for whoever is slowed down.
func TestPassword(t *testing.T) {
	line, err := HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := parseHash(line); err != nil || !h.matches("correct horse") || strings.Contains(line, "horse") {
		t.Errorf("%s: %v", line, err)
	}
	cheap := hash{time: 1, memory: 64, threads: 1, salt: []byte("somesalt")}.with("correct horse") // a test need not be dear
	file := filepath.Join(t.TempDir(), "hash")
	if err := os.WriteFile(file, []byte(cheap+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Config.Password = config.AuthPassword{File: file} })
	try := func(password string) answer {
		t.Helper()
		return w.do(request{method: "POST", path: LoginPath, form: url.Values{"password": {password}, "next": {"/chat"}}})
	}
	if a := w.get(LoginPath, nil); !strings.Contains(a.body, `type="password"`) {
		t.Errorf("the page does not ask for it: %v", a)
	}
	a := try("correct horse")
	if a.status != 303 || a.header.Get("Location") != "/chat" {
		t.Fatal(a)
	}
	if b := w.get("/", cookieOf(t, a)); b.status != 200 || w.gate.Sessions()[0].Method != "password" {
		t.Error(b)
	}
	statuses := map[int]int{}
	for i := range freeFailures + 3 {
		statuses[try(fmt.Sprint("wrong", i)).status]++
	}
	if statuses[403] != freeFailures+1 || statuses[429] != 2 {
		t.Errorf("wrong ones: %v", statuses)
	}
	if a := try("correct horse"); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("guessing on is not slowed down: %v", a)
	}
	w.signIn()
	if a := try(strings.Repeat("x", maxPassword+1)); a.status != 403 {
		t.Errorf("an endless one: %v", a)
	}
}

// TestHashes: what is no hash, or one that nobody could afford, is refused, and one
// of the reference implementation is understood.
func TestHashes(t *testing.T) {
	for _, line := range []string{"", "secret", "$2y$10$abc", "$argon2id$v=18$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG", "$argon2id$v=19$m=99999999,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
		"$argon2id$v=19$m=65536,t=0,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG", "$argon2id$v=19$m=65536,t=3,p=4$$", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ"} {
		if h, err := parseHash(line); err == nil {
			t.Errorf("%q: %+v", line, h)
		}
	}
	// The reference implementation's: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1
	h, err := parseHash("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil || !h.matches("password") || h.matches("passwore") {
		t.Errorf("%+v %v", h, err)
	}
	for _, password := range []string{"", "1234567", strings.Repeat("x", maxPassword+1)} {
		if _, err := HashPassword(password); !errors.Is(err, ErrInvalid) {
			t.Errorf("a password of %d bytes: %v", len(password), err)
		}
	}
}
