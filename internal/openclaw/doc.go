// Package openclaw is all that creel knows of the OpenClaw gateway: how it is
// installed, configured and started, what its exit codes mean, and which
// headers it may be sent. Nothing else in creel names OpenClaw's files,
// variables or messages.
//
// What is written here as a fact was tried with OpenClaw 2026.9.6; the test
// with the build tag e2e tries it again.
//
// # What it guarantees
//
//   - Install leaves a whole installation at its place or none. It works in a
//     staging folder, runs what it has installed, makes it durable, and only
//     then renames it into place. A run that was cut off at any instant is
//     made good by the next one. Two runs exclude one another by a file lock
//     that dies with its process.
//   - Install changes nothing outside the data folder: no global package, no
//     npm setting, no npm cache of the user. The user's npm settings (registry,
//     proxy, certificates) are honoured.
//   - Configure changes the keys that creel owns and no other byte of
//     openclaw.json: comments, order and unknown keys stay (a byte order mark
//     goes, and a last line without an end gets one). It replaces the file by
//     rename, keeps the previous one beside it, and writes nothing at all if
//     nothing is to be changed.
//   - A default (Setting, Mode Default) never takes the place of what a person, the
//     Control UI or OpenClaw itself has written, and lists of who may write to a
//     channel only ever grow by it, or lose what it has added.
//   - A configuration that OpenClaw refuses is never lost (a copy lies beside it) and
//     is never tried twice in the same way: see Inspector.
//   - No secret is in an argument (I7), and none of creel's own settings
//     (CREEL_…) is in the environment of the gateway.
//
// # What it refuses
//
//   - To edit a configuration that it cannot read to the last byte, to replace
//     a token that is a reference to some other store, or to write to a file
//     that its owner made read-only. It says so and changes nothing.
//   - To run a Node.js whose checksum is not the one written here.
//
// # Onboarding is not run
//
// "openclaw onboard --non-interactive" takes about ten seconds, writes absolute
// paths into the configuration (which a restored state would have to rewrite),
// and asks for a model provider. A configuration of the owned keys alone passes
// "openclaw config validate" and comes up ready with no provider key at all; a
// provider is then chosen in the Control UI. So creel writes that.
//
// # Install scripts are not run by npm
//
// npm 11 asks for consent before it runs install scripts and later versions
// refuse them. creel installs with --ignore-scripts, which all versions know.
// OpenClaw has its own way to make up for that: its package ships a marker file
// (.openclaw-lifecycle-pending), and its launcher, finding it, runs the
// package's scripts itself. The check that Install ends with ("openclaw
// --version") does it. The dependencies that have install scripts come with
// built binaries or have nothing to do.
//
// npm itself is run by the Node.js that was just installed: npm leaves out
// optional packages whose "engines" do not fit the Node.js that runs it, and
// does so without a word. With an older Node.js OpenClaw would be left without
// its native file access.
//
// # Headers about the client
//
// The gateway takes a request from a loopback address for one from the same
// host ("direct local"), which may do more, unless it carries headers of a
// proxy. With such headers it wants a proxy that it trusts and a client that is
// not on loopback; anything else is refused with 403, its probes included:
//
//	request that reaches the gateway from 127.0.0.1        answer
//	no Forwarded, X-Real-IP or X-Forwarded-*               accepted as direct local
//	X-Forwarded-For: 203.0.113.9 or 192.168.1.20           accepted as that client
//	X-Forwarded-For: 127.0.0.1 or ::1                      403
//	only X-Real-IP, X-Forwarded-Proto or Forwarded         403
//
// So creel decides by client (see ForwardingFor):
//
//	client, as creel sees it                               towards the gateway
//	loopback                                               Strip: no header about a client at all
//	any other address                                      Set: X-Forwarded-For is the client alone
//	loopback peer that brings headers and is not trusted   Refuse: 403 from creel
//	unknown                                                Refuse
//
// Strip makes a client as good as local, which it is. The third row is a proxy
// on the same host that creel was not told of: to strip its headers would make
// every user on the internet a local one (with the token, an administrator
// without pairing), and to set X-Forwarded-For would be a guess. An address
// that a trusted proxy vouches for is judged by the first two rows.
//
// # What was rejected
//
//   - Keeping npm's cache after an installation: 280 MB for a case (a second
//     version) that may never come. It outlives a failed run, so that the next
//     one need not load everything again.
//   - A checksum of all 41,000 installed files at each start: the manifest
//     compares sizes of key files and numbers of directory entries, in a few
//     milliseconds. It finds what cleaners and broken copies leave, not an
//     attacker, who could change the manifest as well.
package openclaw
