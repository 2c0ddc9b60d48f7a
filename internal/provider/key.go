package provider

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"creel/internal/telemetry"
)

// minKey is the shortest key that is accepted: a shorter one cannot be told from
// ordinary text when it is to be masked.
const minKey = 8

// maxKeyFile bounds a file with a key; some tokens are long, none is that long.
const maxKeyFile = 64 << 10

// Key is where a key comes from. Its methods may be called from any goroutine.
type Key struct {
	from string // for a person: where it is, never what it is
	path string // a file; empty: value is all there is

	mu      sync.Mutex
	value   telemetry.Secret
	forms   [][]byte // the key as it may be written in an answer
	modTime time.Time
	size    int64
	err     error
}

// KeyError says that a key cannot be had.
type KeyError struct {
	From string
	Err  error
}

func (e *KeyError) Error() string { return fmt.Sprintf("cannot use the key in %s: %v", e.From, e.Err) }

// Unwrap gives the cause.
func (e *KeyError) Unwrap() error { return e.Err }

// keyFromFile is a key in a file. The file is looked at with each request, and
// read again if it has changed.
func keyFromFile(path string) *Key {
	return &Key{from: "the file " + path, path: path}
}

// keyFromVariable is a key that stood in the environment.
func keyFromVariable(name, value string) *Key {
	k := &Key{from: "the variable " + name}
	if value == "" {
		k.err = errors.New("it is not set")
		return k
	}
	k.err = k.set(value)
	return k
}

// From says where the key is.
func (k *Key) From() string { return k.from }

// Path is the file that the key is in; empty: it is in none.
func (k *Key) Path() string { return k.path }

// get gives the key, and the forms of it to look for in answers. The error is a
// *KeyError.
func (k *Key) get() (telemetry.Secret, [][]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.path != "" {
		k.refresh()
	}
	if k.err != nil {
		return "", nil, &KeyError{k.from, k.err}
	}
	return k.value, k.forms, nil
}

// Check returns nil if the key can be had, or a *KeyError.
func (k *Key) Check() error {
	_, _, err := k.get()
	return err
}

// refresh reads the file if it is not the one that was read last.
func (k *Key) refresh() {
	info, err := os.Stat(k.path)
	if err == nil && k.err == nil && k.value != "" && info.ModTime().Equal(k.modTime) && info.Size() == k.size {
		return
	}
	var text []byte
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is no file (%s)", info.Mode().Type())
	}
	if err == nil {
		text, err = readAtMost(k.path, maxKeyFile)
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the path is in the message already
	}
	if err == nil {
		err = k.set(strings.TrimSpace(string(text)))
	}
	k.err = err
	if err == nil {
		k.modTime, k.size = info.ModTime(), info.Size()
	}
}

func readAtMost(path string, most int64) ([]byte, error) {
	// A named pipe in the file's place must not hold a request up.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return text, err
}

// set checks a key and makes it known to this process as a secret. The key is in
// no error.
func (k *Key) set(value string) error {
	switch {
	case value == "":
		return errors.New("it is empty")
	case len(value) < minKey:
		return fmt.Errorf("it has fewer than %d characters, and is no key", minKey)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7F }):
		return errors.New("it has characters that no key has: white space, control characters or letters beyond ASCII")
	}
	if err := telemetry.Register(value); err != nil {
		return err
	}
	k.value, k.forms = telemetry.Secret(value), formsOf(value)
	return nil
}
