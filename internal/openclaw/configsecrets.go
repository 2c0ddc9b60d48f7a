package openclaw

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"creel/internal/telemetry"
)

// ConfigSecrets are the secrets in OpenClaw's configuration, by the names of their
// keys, in no order; none if there is no configuration. References to variables of the
// environment are none. The error names no secret.
func ConfigSecrets(l Layout) ([]telemetry.Secret, error) {
	b, err := os.ReadFile(l.Config())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read OpenClaw's configuration: %w", err)
	}
	doc, err := parseDocument(b)
	if err != nil {
		return nil, fmt.Errorf("cannot understand OpenClaw's configuration %s: %w", l.Config(), err)
	}
	var v any
	if err := json.Unmarshal(canonical(doc.root.Value), &v); err != nil {
		return nil, fmt.Errorf("cannot understand OpenClaw's configuration %s: %w", l.Config(), err)
	}
	return secretsIn(nil, v), nil
}

func secretsIn(path []string, v any) (list []telemetry.Secret) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			list = append(list, secretsIn(append(slices.Clone(path), name), inner)...)
		}
	case []any:
		for _, inner := range v {
			list = append(list, secretsIn(path, inner)...)
		}
	case string:
		if namedSecret(path) && v != "" && !strings.Contains(v, "${") {
			list = append(list, telemetry.Secret(v))
		}
	}
	return list
}
