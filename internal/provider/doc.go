// Package provider stands between a gateway and the model providers that it
// uses, and adds their keys on the way out: the gateway is given an address on
// loopback and a credential that is worth nothing anywhere else.
//
//	gateway ──  POST /openai/chat/completions          ──> Proxy ──> https://api.openai.com/v1/chat/completions
//	            Authorization: Bearer <credential>                   Authorization: Bearer <key>
//
// # What it guarantees
//
//   - A key goes to the host of its provider's base URL, in the header fields
//     that the provider reads, and nowhere else. Redirects are not followed, and
//     not handed to the gateway either. No request can choose another host,
//     scheme or port: the target is built from the base URL, and of the request
//     only the path below it and the query are taken.
//   - The credential never goes out, whatever field the request has it in. A key
//     never comes in: what a provider sends back, header, body, trailer, is
//     searched for it, and it is masked by as many "*". Nothing else of a body is
//     changed.
//   - An answer passes as it comes: each piece is written and flushed before the
//     next is read, nothing is collected, and a slow reader slows the provider.
//     If one side leaves, the other is told at once. An answer that breaks off
//     breaks off at the gateway too, and does not end like a whole one.
//   - A request is sent once. net/http's Transport repeats only what the provider
//     has provably not begun with: a connection that could not be used, a stream
//     that the peer has refused (RFC 9113 section 8.7), and a GET without a body.
//   - There is no wait without an end before the answer (dialling, TLS handshake,
//     first byte), and no bound on the answer from there on.
//   - Counting never delays an answer: a piece is looked at when the next is asked
//     for, in memory that is bounded, and what cannot be understood is counted as
//     such (see meter).
//   - What was counted survives the death of creel (see Ledger), and so do budgets.
//
// # What it refuses
//
// Requests without the credential (401); with a target that is not a plain path
// (absolute-form, CONNECT, "*", "." and ".." in any encoding, "//", "\"); TRACE,
// which would echo the key; upgrades; a credential in the query (but for Google's API,
// whose clients may have it there: it is cut out, see cutKeys); what is over a budget
// (429). All are answered in the form of the provider's own errors, so that the chat
// shows the reason.
//
// # What was rejected
//
//   - A forward proxy with a certificate of its own (HTTPS_PROXY): it would see
//     every address that an agent talks to, and the agent would have to trust it.
//   - Changing bodies, for instance to ask for usage in streams
//     (stream_options.include_usage): what cannot be counted is told, not forced.
//   - Putting the mask of telemetry in the place of an echoed key: a mask of the
//     same length leaves Content-Length and every other byte as they are.
//   - package upstream, creel's own HTTP client: it speaks HTTP/1.1 to one
//     instance on loopback and exists for evidence of how far a request got.
//     Here TLS, HTTP/2 and proxies count, and nothing is sent again.
package provider
