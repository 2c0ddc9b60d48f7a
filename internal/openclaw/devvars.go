package openclaw

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"creel/internal/openclaw/moltenv"
)

// WithDevVars is an environment with the variables of a .dev.vars file added to
// it. Those that it has already come first. An empty path: there is no file.
func WithDevVars(environ []string, path string) ([]string, error) {
	if path == "" {
		return environ, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read gateway.openclaw.dev_vars: %w", err)
	}
	file, err := moltenv.ParseDevVars(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read gateway.openclaw.dev_vars, %s: %w", path, err)
	}
	list := slices.Clone(environ)
	for _, entry := range file {
		name, _, _ := strings.Cut(entry, "=")
		// Of a name that comes twice a process would get the last one.
		if !slices.ContainsFunc(list, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }) {
			list = append(list, entry)
		}
	}
	return list, nil
}
