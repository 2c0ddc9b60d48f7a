//go:build !linux

package upstream

func dialTo(addr string) dialFunc { return dialPlainly(addr) }
