//go:build !linux

package daemon

// forgetStart does nothing where it is not known how.
func forgetStart() {}
