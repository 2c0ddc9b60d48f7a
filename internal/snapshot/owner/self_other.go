//go:build !linux

package owner

import "time"

func bootID() string      { return "" }
func place(string) string { return "" }

var processStart = time.Now()

func sinceBoot() time.Duration { return time.Since(processStart) }
