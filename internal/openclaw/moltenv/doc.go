// Package moltenv reads the environment variables that moltworker was set up
// with, under their old and their new names, and turns them into typed values:
// model providers, channels, the gateway's token.
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
//
// # Which provider becomes the default
//
// The order is moltworker's: Cloudflare AI Gateway, Anthropic, OpenAI. OpenRouter
// comes last. The older AI_GATEWAY_API_KEY and AI_GATEWAY_BASE_URL, given
// together, take the place of ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL; a base
// URL that ends in /openai stands for OpenAI's instead.
//
// The models are those that OpenClaw 2026.9.6 itself chooses where a person gives
// it a key of that provider ("openclaw onboard").
package moltenv
