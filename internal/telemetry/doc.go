// Package telemetry is how creel tells what it does: the log, the metrics, the
// ids of requests, and the removal of secrets from all of it.
//
// # What it guarantees
//
//   - A secret that was handed to Register never leaves Redact, in its plain
//     form or as it looks inside a URL, a JSON string or a Go string. If
//     replacing it would by chance spell another known secret, the whole text
//     is replaced.
//   - What looks like a secret (a bearer token, a query parameter called
//     token, a Telegram bot token, …) is removed too. This is a second net and
//     no guarantee: a secret that creel was never told of and that looks like
//     an ordinary word is not found.
//   - The logger of NewLogger redacts messages and attributes, errors
//     included, before any of it is formatted.
//   - Redact takes time linear in its input and allocates nothing if there is
//     nothing to remove.
//   - The methods of *Metrics that requests go through take no lock, look up no
//     label and allocate nothing. A nil *Metrics does nothing.
//
// # What it refuses
//
//   - To register a secret shorter than MinSecret bytes: removing "a" would
//     remove the log.
//   - To keep a label value that is new once MaxLabelValues are in
//     use: it is counted under "other", so that no bug floods a monitoring
//     system.
//
// # What was rejected
//
//   - Regular expressions for the shapes of secrets: a line that mentions a
//     token would pay for ten passes. One pass with a rule per trigger byte
//     does, and each rule is a small function with its own table test.
//   - Redaction in the writer below the log handler: there an attribute has
//     already become text with quotes and escapes, in which a secret may no
//     longer be recognised.
//   - The global registry of the Prometheus library: two instances in one test
//     binary would collide.
package telemetry
