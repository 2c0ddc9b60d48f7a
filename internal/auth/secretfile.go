package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// readSecret reads a file with one secret in it, which nobody but its owner may be
// able to read. key is the configuration's word for the file.
func readSecret(key, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", key, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", key, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("cannot use %s: others than its owner may read %s; correct that with: chmod 600 %s", key, path, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", key, err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", errors.New("cannot use " + key + ": " + path + " is empty")
	}
	return secret, nil
}
