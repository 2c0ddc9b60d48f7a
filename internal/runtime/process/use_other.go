//go:build !linux

package process

// Use returns false.
func (*Runtime) Use() (Use, bool) { return Use{}, false }
