package store

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"creel/internal/telemetry"
)

// Key is the key of a repository, in the form that people copy. It is also the
// password by which a stock kopia opens the repository, so it is a string and
// not the bytes that it stands for.
type Key = telemetry.Secret

const (
	keyPrefix = "creel-key-1-" // 1 is the version of the form
	keyBytes  = 32
	sumBytes  = 3 // 35 bytes are 56 characters without padding
	keyGroup  = 7 // characters between dashes, for the eye
)

// keyAlphabet leaves out I, L, O and U, which are misread (Crockford's base 32).
var keyAlphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// ErrBadKey is wrapped by the errors of ParseKey. What was read is not in them.
var ErrBadKey = errors.New("not a snapshot key")

// ErrNoKey is wrapped by the error of LoadKey if there is no key file.
var ErrNoKey = errors.New("there is no snapshot key")

// ErrOtherKey is wrapped by the error of ImportKey if there is another key
// already.
var ErrOtherKey = errors.New("there is another snapshot key already")

const keyFileHead = `# The key of creel's snapshots. Without it no snapshot can be read, by anybody.
# Keep a copy of the line below in a safe place that is not this machine.
`

// NewKey makes a key by chance.
func NewKey() Key {
	raw := make([]byte, keyBytes)
	_, _ = rand.Read(raw) // never fails: it ends the program rather
	return formatKey(raw)
}

func formatKey(raw []byte) Key {
	text := keyAlphabet.EncodeToString(append(bytes.Clone(raw), keySum(raw)...))
	var groups []string
	for len(text) > keyGroup {
		groups, text = append(groups, text[:keyGroup]), text[keyGroup:]
	}
	return Key(keyPrefix + strings.Join(append(groups, text), "-"))
}

func keySum(raw []byte) []byte {
	sum := sha256.Sum256(append([]byte(keyPrefix), raw...))
	return sum[:sumBytes]
}

// ParseKey reads a key as a person gives it: in either case, with white space
// around and within it, O for 0, I and L for 1, among lines that begin with "#".
// It returns the key in its one true form. Errors wrap ErrBadKey.
func ParseKey(text string) (Key, error) {
	raw, err := parseKey(text)
	if err != nil {
		return "", err
	}
	return formatKey(raw), nil
}

func parseKey(text string) ([]byte, error) {
	if len(text) > 4096 {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrBadKey, len(text))
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			b.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	given := strings.ToUpper(b.String())
	given, ok := strings.CutPrefix(given, strings.ToUpper(keyPrefix))
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %q; give all of what `creel snapshot key export` prints", ErrBadKey, keyPrefix)
	}
	given = strings.NewReplacer("-", "", "O", "0", "I", "1", "L", "1").Replace(given)
	raw, err := keyAlphabet.DecodeString(given)
	if err != nil {
		return nil, fmt.Errorf("%w: it holds a character that none has", ErrBadKey) // err would show it
	}
	if len(raw) != keyBytes+sumBytes {
		return nil, fmt.Errorf("%w: it is too short or too long; copy the whole line", ErrBadKey)
	}
	raw, sum := raw[:keyBytes], raw[keyBytes:]
	if subtle.ConstantTimeCompare(sum, keySum(raw)) != 1 {
		return nil, fmt.Errorf("%w: a character of it is wrong (the checksum does not fit)", ErrBadKey)
	}
	return raw, nil
}

// LoadKey reads a key file and registers the key for redaction. The error
// wraps ErrNoKey if there is none and ErrBadKey if it is not what ImportKey
// writes.
func LoadKey(file string) (Key, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w in %s", ErrNoKey, file)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the snapshot key: %w", err)
	}
	key, err := ParseKey(string(text))
	if err != nil {
		return "", fmt.Errorf("cannot use the snapshot key in %s: %w", file, err)
	}
	return key, telemetry.Register(key.Reveal())
}

// ExportKey is LoadKey, and the text of a key file.
func ExportKey(file string) (text telemetry.Secret, err error) {
	key, err := LoadKey(file)
	if err != nil {
		return "", err
	}
	return keyText(key), nil
}

func keyText(key Key) telemetry.Secret {
	return telemetry.Secret(keyFileHead + key.Reveal() + "\n")
}

// ImportKey writes a key file (mode 0600, in a folder of mode 0700). It never
// replaces one: if there is the same key, all is well; if there is another, the
// error wraps ErrOtherKey, for that one may be the only way to older snapshots.
func ImportKey(file, text string) error {
	key, err := ParseKey(text)
	if err != nil {
		return err
	}
	_, err = keepKey(file, key)
	return err
}

// MakeKey is ExportKey, and makes a key if there is none. made tells that it has.
func MakeKey(file string) (text telemetry.Secret, made bool, err error) {
	text, err = ExportKey(file)
	if !errors.Is(err, ErrNoKey) {
		return text, false, err
	}
	key, err := keepKey(file, NewKey())
	if errors.Is(err, ErrOtherKey) { // somebody was faster: it is theirs
		return keyText(key), false, nil
	}
	if err != nil {
		return "", false, err
	}
	return keyText(key), true, nil
}

// keepKey writes key unless there is one, and returns the one that is there
// then. Of several that do so at once one wins, and all get that one's key or
// ErrOtherKey.
func keepKey(file string, key Key) (Key, error) {
	if err := telemetry.Register(key.Reveal()); err != nil {
		return "", err
	}
	err := writeNew(file, []byte(keyText(key).Reveal()))
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("cannot keep the snapshot key: %w", err)
	}
	have, err := LoadKey(file)
	if err != nil {
		return "", err
	}
	if have != key {
		return have, fmt.Errorf("%w in %s; move that file away if it is not needed any more", ErrOtherKey, file)
	}
	return have, nil
}

// newPrefix begins the names of files that writeNew is writing.
const newPrefix = ".new-"

// writeNew writes a file whole and durably, unless there is one: a link, unlike
// a rename, does not replace. The error wraps fs.ErrExist then.
func writeNew(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, newPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil {
		return err
	}
	return syncDir(dir)
}

// derive makes a secret for one purpose from the key. The repository's own
// secrets are derived and not left to chance, so that two creels with the same
// key that create the same repository at once create the same one.
func derive(key Key, purpose string, size int) ([]byte, error) {
	raw, err := parseKey(key.Reveal())
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, raw, nil, "creel snapshots: "+purpose, size)
}
