package config

import _ "embed"

//go:embed creel.schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of creel.yaml, for editors and for
// checks outside creel. Load checks more than a schema can say.
func Schema() []byte {
	return append([]byte(nil), schema...)
}
