package openclaw

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tailscale/hujson"

	"creel/internal/telemetry"
)

// tokenBytes is the strength of a token that creel makes: 256 bits.
const tokenBytes = 32

// chooseToken decides on the gateway's shared token.
//
// The one in the configuration counts, if there is one: it may have been
// changed on purpose (a leaked token), or come with a restored state, and then
// browsers know it. The one that creel has made or was given before gives way to
// the one that it is given now. Else it is the one that creel keeps, else a new one.
func chooseToken(l Layout, f *configFile, m *merge, s Settings) (telemetry.Secret, error) {
	token, present, err := f.doc.text("gateway", "auth", "token")
	if errors.Is(err, errNotString) {
		return "", f.fail(ConfigConflict, "gateway.auth.token is not a string (perhaps a reference to a secret kept elsewhere), and creel has to know the token",
			"remove gateway.auth.token and creel writes one", nil)
	}
	if err != nil {
		return "", f.fail(ConfigConflict, "", "correct it", err)
	}
	if strings.Contains(token, "${") {
		return "", f.fail(ConfigConflict, "gateway.auth.token refers to an environment variable, and creel has to know the token",
			"remove gateway.auth.token and creel writes one", nil)
	}
	present = present && strings.TrimSpace(token) != ""
	if there := tokenDigest(telemetry.Secret(token)); present && (there == m.old.Token || there == m.old.TokenBefore) {
		m.there = there
	}
	ours := m.there != ""
	switch {
	case s.Token != "" && (!present || ours || s.TokenMode == Own):
		m.now.Token = tokenDigest(s.Token)
		return s.Token, nil
	case present:
		if s.Token != "" && s.Token.Reveal() != token {
			m.notes = append(m.notes, "gateway.auth.token in openclaw.json is another than the one that creel was given, and stays; remove it there, or lock it")
		}
		m.now.Token = m.there
		return telemetry.Secret(token), nil
	}
	kept, err := readToken(l.TokenFile())
	if err != nil || kept != "" {
		if kept != "" { // it is creel that puts it there
			m.now.Token = tokenDigest(kept)
		}
		return kept, err
	}
	b := make([]byte, tokenBytes)
	// crypto/rand.Read does not fail since Go 1.24: it ends the program instead.
	_, _ = rand.Read(b)
	made := telemetry.Secret(hex.EncodeToString(b))
	m.now.Token = tokenDigest(made)
	return made, nil
}

func tokenDigest(token telemetry.Secret) string {
	return digest(hujson.Literal(marshal(token.Reveal())))
}

// ReadToken returns the token that Configure keeps. It is empty if there is
// none yet.
func ReadToken(l Layout) (telemetry.Secret, error) { return readToken(l.TokenFile()) }

func readToken(path string) (telemetry.Secret, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the gateway's token: %w", err)
	}
	return telemetry.Secret(strings.TrimSpace(string(b))), nil
}

// keepToken writes the token unless it is there already, readable by the owner
// alone.
func keepToken(path string, token telemetry.Secret) error {
	kept, err := readToken(path)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && kept == token && info.Mode().Perm() == 0o600 {
		return nil
	}
	if err := writeFile(path, []byte(token.Reveal()+"\n")); err != nil {
		return fmt.Errorf("cannot keep the gateway's token: %w", err)
	}
	return nil
}
