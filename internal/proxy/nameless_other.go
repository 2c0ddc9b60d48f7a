//go:build !linux

package proxy

import "os"

func namelessFile(dir string) (*os.File, error) { return removedFile(dir) }
