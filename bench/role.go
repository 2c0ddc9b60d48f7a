package main

import (
	"fmt"
	"os"
)

// Roles: what this binary is when the first argument says so.
const (
	roleGateway      = "as-gateway"
	roleReverseProxy = "as-reverse-proxy"
	roleLoad         = "as-load"
	roleHold         = "as-hold"
	roleKeeper       = "as-keeper"
	roleHog          = "as-hog"
)

var roles = map[string]func(args []string) error{
	roleGateway:      runGateway,
	roleReverseProxy: runReverseProxy,
	roleLoad:         runLoad,
	roleHold:         runHold,
	roleKeeper:       runKeeper,
	roleHog:          runHog,
}

// runRole plays the role that args begin with. It reports false if there is
// none.
func runRole(args []string) (code int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	role, ok := roles[args[0]]
	if !ok {
		return 0, false
	}
	if err := role(args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return exitUnmeasured, true
	}
	return exitFine, true
}
