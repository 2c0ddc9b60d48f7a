// Command gen writes what is derived from the structs of package config: the
// JSON schema (in the package's folder, where it is embedded, and in docs) and
// docs/configuration.md. It is run by "go generate ./internal/config"; a test
// fails when a file is stale.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"creel/internal/config"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes the files; dir is the folder of package config.
func run(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for path, data := range files {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("cannot write a generated file: %w", err)
		}
	}
	return nil
}

// generate makes the content of each file.
func generate(dir string) (map[string][]byte, error) {
	c := comments{}
	for _, name := range []string{"config.go", "auth.go", "openclaw.go", "providers.go"} {
		more, err := readComments(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		maps.Copy(c, more)
	}
	if err := c.cover(config.Keys()); err != nil {
		return nil, err
	}
	schema, err := schemaFile(c)
	if err != nil {
		return nil, err
	}
	reference, err := referenceFile(c)
	if err != nil {
		return nil, err
	}
	docs := filepath.Join(dir, "..", "..", "docs")
	return map[string][]byte{
		filepath.Join(dir, "creel.schema.json"):  schema,
		filepath.Join(docs, "creel.schema.json"): schema,
		filepath.Join(docs, "configuration.md"):  reference,
	}, nil
}
