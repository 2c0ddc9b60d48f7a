//go:build !linux

package probe

func newSleeper() sleeper { return timers{} }
