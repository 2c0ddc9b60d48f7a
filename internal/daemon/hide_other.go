//go:build !linux

package daemon

// hideSelf does nothing: only Linux shows a process in files.
func hideSelf() error { return nil }
