// Package moltenv reads the environment variables that moltworker was set up
// with, under their old and their new names, and turns them into typed values:
// channels, the gateway's token. Those of model providers are package provider's.
//
// What it guarantees:
//
//   - It is pure: it reads what it is given, touches no file and no process, and
//     the same variables give the same result.
//   - A variable that is set and empty counts as not set, as in moltworker.
//   - A value that means nothing is a *VariableError that names the variable and
//     never shows the value. What is merely of no effect is a Hint.
//   - A secret is a telemetry.Secret from here on, and in no hint and no error.
//
// What it refuses: to decide who wins. The values are what a gateway is to have
// by default; that the Control UI's own edits come first is the caller's business
// (openclaw.Default).
package moltenv
