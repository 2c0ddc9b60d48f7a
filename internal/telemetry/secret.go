package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that is not shown by accident: formatting it with any
// verb, marshalling it and logging it give Mask. Reveal gives the string.
//
// Keep a Secret in an exported field or a variable: package fmt cannot call
// the methods of a value in an unexported field and would print the string.
//
// An empty Secret is shown as empty, because that it is not set is what a
// reader wants to know and gives nothing away.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns Mask, or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Mask
}

// GoString is String in quotes.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Format implements fmt.Formatter. String and GoString are not enough: for a
// verb that does not fit a string, such as %d, package fmt prints the value
// itself without asking them.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	// An error here is the writer's, and package fmt reports it to its caller.
	_, _ = io.WriteString(f, text)
}

// MarshalJSON gives Mask as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText gives Mask; YAML and XML encoders use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
