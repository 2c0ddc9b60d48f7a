// Command crashgw is the gateway that fails on demand, as a program of its own.
// Package crashgw documents every switch.
package main

import (
	"creel/test/crashgw"
	_ "creel/test/crashgw/state" // for --state
)

func main() {
	crashgw.RunIfAsked()
	crashgw.Main()
}
