//go:build !linux

package provider

// Seclude does nothing: what other processes of the same user may read here, creel
// does not know to change.
func Seclude([]string) error { return nil }

// SecludeEarly does nothing either.
func SecludeEarly() {}
