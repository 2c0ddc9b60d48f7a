// Package config turns creel.yaml, the environment and command-line flags into
// one validated Config.
//
// Sources, later ones winning: [Defaults], the preset's defaults, the file, the
// environment (CREEL_…), flags. [Load] goes through them and remembers in
// [Sources] where each value came from.
//
// What it guarantees:
//   - A Config that Load returns has passed [Validate]; its folders are absolute.
//   - Nothing is ignored in silence: an unknown key, an unknown CREEL_ variable,
//     a key given twice and a value of the wrong type are all refused.
//   - Every problem is reported at once, each with its file, line and column, or
//     with the name of its environment variable or flag ([Problems]).
//   - The values of gateway.env, which may be secrets, are never part of a
//     problem, of [Render], of [Diff] or of a log line.
//
// The structs in config.go and auth.go are the only list of keys. Their tags say what Go's
// types do not: kind (bytes, path, command), enum (the words allowed) and needs
// (what has to restart when the value changes). The reader of the file, the
// environment variables, the JSON schema, docs/configuration.md, Diff and Hash
// are all driven by them, so a new key is one new field.
//
// What was rejected: decoding YAML straight into the structs (it stops at the
// first mistake of some kinds, and has neither columns nor durations); a search
// for creel.yaml in the working directory (the file names a program to run, and
// one should not be run because of the folder one happens to stand in); "1d" and
// "64KB" (what they stand for is a matter of opinion).
package config

import "time"

//go:generate go run ./gen

// What is done about an app that hangs.
const (
	HangRestart = "restart"
	HangReport  = "report"
	HangOff     = "off"
)

// Start policies of a gateway.
const (
	StartAlways   = "always"    // at once, and again after each end
	StartOnDemand = "on-demand" // with the first request
)

// Whether creel's own files are hidden from the app.
const (
	SandboxAuto     = "auto"
	SandboxRequired = "required"
	SandboxOff      = "off"
)

// Presets.
const (
	PresetNone     = ""
	PresetOpenClaw = "openclaw"
)

// What the gateway is told of its clients.
const (
	ForwardedSet   = "set"   // creel's own X-Forwarded-* and Forwarded
	ForwardedStrip = "strip" // none
)

// When snapshots are taken.
const (
	SnapshotsAuto   = "auto"
	SnapshotsManual = "manual"
	SnapshotsOff    = "off"
)

// Whether it is settled which machine runs the gateway.
const (
	OwnerAuto = "auto"
	OwnerOn   = "on"
	OwnerOff  = "off"
)

// Owned tells whether the gateway runs only while this creel is its owner.
func (s *Snapshots) Owned() bool {
	return s.Mode != SnapshotsOff && (s.Owner == OwnerOn || s.Owner == OwnerAuto && s.Store.Kind == StoreS3)
}

// What happens at a start whose state is missing.
const (
	RestoreAuto  = "auto"
	RestoreNever = "never"
)

// Whether moltworker's debug routes tell anything.
const (
	DebugRoutesOff = "off"
	DebugRoutesOn  = "on"
)

// Kinds of stores. The other ones are kopia's words.
const (
	StoreFolder = "folder"
	StoreS3     = "s3"
)

// Config is everything that creel can be told.
type Config struct {
	// Listen is the TCP address that clients connect to, as host:port. An empty host stands for all addresses of the machine.
	Listen string `yaml:"listen" json:"listen" needs:"creel restart"`
	// DataDir is the folder that creel keeps its records, logs and journal in. Without one: $XDG_STATE_HOME/creel or ~/.local/state/creel; as root /var/lib/creel.
	DataDir string `yaml:"data_dir" json:"data_dir" kind:"path" needs:"creel restart"`
	// Gateway is the app that creel keeps alive.
	Gateway Gateway `yaml:"gateway" json:"gateway"`
	// Snapshots says how the app's state is kept from being lost.
	Snapshots Snapshots `yaml:"snapshots" json:"snapshots"`
	// Proxy says how requests are held, replayed and passed on.
	Proxy Proxy `yaml:"proxy" json:"proxy"`
	// Providers says which model providers the gateway uses, and keeps their keys out of its reach.
	Providers Providers `yaml:"providers" json:"providers"`
	// TLS is what clients are shown; without it creel speaks HTTP in the clear.
	TLS TLS `yaml:"tls" json:"tls"`
	// Auth says who may come in.
	Auth Auth `yaml:"auth" json:"auth"`
	// Upgrade says how one creel makes way for the next.
	Upgrade Upgrade `yaml:"upgrade" json:"upgrade"`
	// Compat is what creel does for those who come from moltworker.
	Compat Compat `yaml:"compat" json:"compat"`
	// Log is creel's own log, on standard error.
	Log Log `yaml:"log" json:"log"`
}

// Compat is what creel does for those who come from moltworker.
type Compat struct {
	// DebugRoutes says whether moltworker's paths under /debug/ tell administrators anything ("on") or are not found ("off"); preset openclaw only.
	DebugRoutes string `yaml:"debug_routes" json:"debug_routes" enum:"off,on" needs:"live"`
}

// Upgrade is how one creel makes way for the next, without a refused connection.
type Upgrade struct {
	// Drain is how long connections that are open may stay with the creel that was replaced: streams to their end, WebSockets until they are closed with 1012.
	Drain time.Duration `yaml:"drain" json:"drain" needs:"live"`
}

// TLS is the certificate of the listener. With it, clients may speak HTTP/2 and
// HTTP/1.1 over TLS, and nothing in the clear.
type TLS struct {
	// Cert is a file with the certificate and those that lead to its root, in PEM form. A renewed file of the same name is read by a reload.
	Cert string `yaml:"cert" json:"cert" kind:"path" needs:"creel upgrade"`
	// Key is a file with the certificate's private key, in PEM form.
	Key string `yaml:"key" json:"key" kind:"path" needs:"creel upgrade"`
}

// Gateway is one stateful, single-instance app.
type Gateway struct {
	// Name names the gateway in status, metrics and records: a-z, 0-9 and inner "-", at most 40 characters.
	Name string `yaml:"name" json:"name" needs:"creel restart"`
	// Preset fills in what is known of an app: "openclaw", or empty for any HTTP server.
	Preset string `yaml:"preset" json:"preset" enum:",openclaw" needs:"creel restart"`
	// Version is the version of the app that the preset installs.
	Version string `yaml:"version" json:"version" needs:"gateway restart"`
	// OpenClaw is what only the preset "openclaw" makes use of.
	OpenClaw OpenClaw `yaml:"openclaw" json:"openclaw"`
	// Command is the program and its arguments. $PORT and ${PORT} in arguments stand for the port.
	Command []string `yaml:"command" json:"command" kind:"command" needs:"gateway restart"`
	// Dir is the working directory of the command; empty: creel's own.
	Dir string `yaml:"dir" json:"dir" kind:"path" needs:"gateway restart"`
	// Env is added to the environment of the command. Its values may be secrets and are never shown.
	Env map[string]string `yaml:"env" json:"env" needs:"gateway restart"`
	// Port is the TCP port on 127.0.0.1 that the app listens on; 0: creel chooses a free one. The app is told by $PORT.
	Port int `yaml:"port" json:"port" needs:"gateway restart"`
	// State lists the folders that hold the app's state.
	State []string `yaml:"state" json:"state" kind:"path" needs:"creel upgrade"`
	// Sandbox says whether creel's own files (its data folder, but for what is the app's, and credentials) are hidden from the app: "auto" (where that can be had: creel must run as root), "required" (the app is not started otherwise) or "off".
	Sandbox string `yaml:"sandbox" json:"sandbox" enum:"auto,required,off" needs:"gateway restart"`
	// Start says when the app is started: "always" or "on-demand".
	Start string `yaml:"start" json:"start" enum:"always,on-demand" needs:"live"`
	// Ready says how creel finds out that the app can serve. Several conditions must all hold.
	Ready Ready `yaml:"ready" json:"ready"`
	// Alive says how creel checks a running app that is under suspicion.
	Alive Alive `yaml:"alive" json:"alive"`
	// Hang says when creel takes a running app that does not answer any more for hung.
	Hang Hang `yaml:"hang" json:"hang"`
	// Stop says how the app is stopped.
	Stop Stop `yaml:"stop" json:"stop"`
	// Restart says what creel does when the app ends by itself.
	Restart Restart `yaml:"restart" json:"restart"`
	// Limits bounds what the app may use, so that one that runs away harms neither creel nor the machine.
	Limits Limits `yaml:"limits" json:"limits"`
}

// Ready is when an instance may be sent requests. With nothing set: it accepts
// a TCP connection.
type Ready struct {
	// Path is an HTTP path that must answer with one of the codes in status.
	Path string `yaml:"path" json:"path" needs:"live"`
	// Status lists the HTTP status codes that mean ready; empty: any 2xx.
	Status []int `yaml:"status" json:"status" needs:"live"`
	// Log is a regular expression (RE2) that a line of the app's output must match.
	Log string `yaml:"log" json:"log" needs:"live"`
	// Command is a program with arguments that must end with exit code 0. It gets $PORT.
	Command []string `yaml:"command" json:"command" kind:"command" needs:"live"`
	// Timeout is the longest time from start to ready.
	Timeout time.Duration `yaml:"timeout" json:"timeout" needs:"live"`
}

// Alive is the check of an instance that has refused a connection or gone quiet.
type Alive struct {
	// Path is an HTTP path that any live app answers; empty: the conditions of ready serve.
	Path string `yaml:"path" json:"path" needs:"live"`
	// Timeout is how long a suspect may take to answer before it is restarted.
	Timeout time.Duration `yaml:"timeout" json:"timeout" needs:"live"`
}

// Hang is the watch over an instance whose process runs. An app that does not
// answer is suspected only if more than one sign says so (see
// docs/architecture.md), and any answer, or a byte of a stream, clears it.
type Hang struct {
	// Action is what creel does about an app that hangs: "restart", "report" (say so in the journal and the metrics, and do nothing) or "off" (do not watch).
	Action string `yaml:"action" json:"action" enum:"restart,report,off" needs:"live"`
	// Interval is the time between two questions whether it lives: for alive.path, else ready.path, else a TCP connection.
	Interval time.Duration `yaml:"interval" json:"interval" needs:"live"`
	// SuspectAfter is how long there may be no sign of life before the app is suspected, and requests wait.
	SuspectAfter time.Duration `yaml:"suspect_after" json:"suspect_after" needs:"live"`
	// RestartAfter is how long there may be no sign of life, with an idle process, before the app is restarted.
	RestartAfter time.Duration `yaml:"restart_after" json:"restart_after" needs:"live"`
	// BusyRestartAfter is the same for an app whose processes work: they use the processor, read, write, or start others.
	BusyRestartAfter time.Duration `yaml:"busy_restart_after" json:"busy_restart_after" needs:"live"`
}

// Stop is how an instance is ended in good order.
type Stop struct {
	// Drain is how long requests under way may go on before the app is asked to end; 0: they are not waited for.
	Drain time.Duration `yaml:"drain" json:"drain" needs:"live"`
	// Grace is how long the app may take to end after SIGTERM before it is killed; 0: it is killed at once.
	Grace time.Duration `yaml:"grace" json:"grace" needs:"live"`
}

// Restart is the policy for an instance that ended by itself. An instance that
// ended before it had answered a request counts as fruitless.
type Restart struct {
	// Delay is the pause before the second restart of a row of fruitless ones; it doubles with each. The first restart is immediate.
	Delay time.Duration `yaml:"delay" json:"delay" needs:"live"`
	// MaxDelay is the longest pause.
	MaxDelay time.Duration `yaml:"max_delay" json:"max_delay" needs:"live"`
	// Fruitless is how many fruitless instances in a row make a crash loop: the gateway is then failed.
	Fruitless int `yaml:"fruitless" json:"fruitless" needs:"live"`
	// RetryFailed is how long a crash-looping gateway stays failed before creel tries again; 0: until it is told to.
	RetryFailed time.Duration `yaml:"retry_failed" json:"retry_failed" needs:"live"`
}

// Limits is what all processes of the app together may use. A limit that creel
// cannot enforce on this machine keeps the app from starting.
type Limits struct {
	// Memory is how much memory the app may use, swap included; the kernel kills it when it needs more. 0: no limit.
	Memory int64 `yaml:"memory" json:"memory" kind:"bytes" needs:"gateway restart"`
	// CPU is how much CPU time the app may use, in percent of one core: 150 is one core and a half. 0: no limit.
	CPU int `yaml:"cpu" json:"cpu" needs:"gateway restart"`
	// PIDs is how many processes and threads the app may have; at the limit it cannot start more. 0: no limit.
	PIDs int `yaml:"pids" json:"pids" needs:"gateway restart"`
	// OpenFiles is how many files, connections included, each process of the app may have open. 0: as creel was given.
	OpenFiles int `yaml:"open_files" json:"open_files" needs:"gateway restart"`
}

// Snapshots is how the folders in gateway.state are kept from being lost.
type Snapshots struct {
	// Mode says when snapshots are taken: "auto" (by themselves, and when asked for), "manual" (when asked for) or "off" (never; nothing is restored either).
	Mode string `yaml:"mode" json:"mode" enum:"auto,manual,off" needs:"creel upgrade"`
	// Restore says what happens at a start whose state is missing: "auto" (the newest good snapshot is restored; without it the app is not started) or "never" (it starts without a state).
	Restore string `yaml:"restore" json:"restore" enum:"auto,never" needs:"creel upgrade"`
	// Every is the longest that a change may stay unsaved; 0: however long.
	Every time.Duration `yaml:"every" json:"every" needs:"live"`
	// Settle is how long the state must have been quiet after a change to be saved before that; 0: quiet is no reason.
	Settle time.Duration `yaml:"settle" json:"settle" needs:"live"`
	// Exclude lists what is not saved, as in .gitignore, relative to each state folder; a file .creelignore in a state folder adds to it.
	Exclude []string `yaml:"exclude" json:"exclude" needs:"creel upgrade"`
	// Freeze is for how long the app should be held still for a snapshot: more is copied beforehand to keep to it.
	Freeze time.Duration `yaml:"freeze" json:"freeze" needs:"creel upgrade"`
	// FreezeMax is for how long it is held still at the very most; a snapshot that needs longer fails.
	FreezeMax time.Duration `yaml:"freeze_max" json:"freeze_max" needs:"creel upgrade"`
	// Keep says which snapshots are kept; those that no line keeps are removed.
	Keep Retention `yaml:"keep" json:"keep"`
	// ShrinkAlarm is how much smaller, in percent of its files or bytes, a snapshot must be than the one before to be marked, reported and kept out of what decides on removals.
	ShrinkAlarm int `yaml:"shrink_alarm" json:"shrink_alarm" needs:"live"`
	// OldState is how long a state that a restore has set aside is kept.
	OldState time.Duration `yaml:"old_state" json:"old_state" needs:"live"`
	// Owner says whether this creel makes sure that no other one that shares its store runs the gateway: "auto" (if the store is of kind s3), "on" (of kind folder too) or "off".
	Owner string `yaml:"owner" json:"owner" enum:"auto,on,off" needs:"creel upgrade"`
	// OwnerTerm is how long another machine must have heard nothing of this one before it takes the gateway over. This one renews its ownership every third of it, and stops the gateway if it cannot, early enough to have stopped when the term is over.
	OwnerTerm time.Duration `yaml:"owner_term" json:"owner_term" needs:"creel upgrade"`
	// Store is where snapshots are kept.
	Store Store `yaml:"store" json:"store"`
}

// Retention is how many snapshots are kept: the newest ones, and the newest one of
// each of the latest hours, days, weeks and months that have one.
type Retention struct {
	// Last is how many of the newest are kept.
	Last int `yaml:"last" json:"last" needs:"live"`
	// Hourly is for how many hours the newest one is kept.
	Hourly int `yaml:"hourly" json:"hourly" needs:"live"`
	// Daily is the same for days (UTC).
	Daily int `yaml:"daily" json:"daily" needs:"live"`
	// Weekly is the same for weeks (ISO 8601).
	Weekly int `yaml:"weekly" json:"weekly" needs:"live"`
	// Monthly is the same for months.
	Monthly int `yaml:"monthly" json:"monthly" needs:"live"`
}

// Store is a place for snapshots. They are encrypted with a key that lies in
// creel's data folder: without it they are lost.
type Store struct {
	// Kind is what the place is: "folder", "s3" (whatever speaks its protocol: AWS, R2, MinIO, Backblaze B2, Google's), "azure", "sftp", "webdav" or "rclone".
	Kind string `yaml:"kind" json:"kind" enum:"folder,s3,azure,sftp,webdav,rclone" needs:"creel upgrade"`
	// Path is the folder, of kind folder; empty: in creel's data folder.
	Path string `yaml:"path" json:"path" kind:"path" needs:"creel upgrade"`
	// Bucket is the bucket, of kind s3.
	Bucket string `yaml:"bucket" json:"bucket" needs:"creel upgrade"`
	// Prefix begins the name of everything in the bucket.
	Prefix string `yaml:"prefix" json:"prefix" needs:"creel upgrade"`
	// Endpoint is the host, or host:port, of a store that is not AWS; with "http://" before it, of one on this machine that does not speak TLS.
	Endpoint string `yaml:"endpoint" json:"endpoint" needs:"creel upgrade"`
	// Region is the bucket's region; empty: the store is asked.
	Region string `yaml:"region" json:"region" needs:"creel upgrade"`
	// CA is a file with certificates in PEM form that are trusted in place of the system's.
	CA string `yaml:"ca" json:"ca" kind:"path" needs:"creel upgrade"`
	// Credentials is a file with one NAME=value in a line: access_key_id, secret_access_key and, of temporary ones, session_token for kind s3; for the others the secret fields of kopia's configuration of that store. Only its owner may be able to read it.
	Credentials string `yaml:"credentials" json:"credentials" kind:"path" needs:"creel upgrade"`
	// Options are the other fields of kopia's configuration of that store, as name=value, for the kinds but folder and s3.
	Options []string `yaml:"options" json:"options" needs:"creel upgrade"`
	// Key is the file with the key that the snapshots are encrypted with; empty: private/snapshot.key in creel's data folder.
	Key string `yaml:"key" json:"key" kind:"path" needs:"creel upgrade"`
}

// Proxy is how requests are passed on.
type Proxy struct {
	// Hold bounds requests that wait for the gateway.
	Hold Hold `yaml:"hold" json:"hold"`
	// Replay bounds and extends what may be sent again after a crash.
	Replay Replay `yaml:"replay" json:"replay"`
	// Timeouts bounds each phase of a client's connection.
	Timeouts Timeouts `yaml:"timeouts" json:"timeouts"`
	// TrustedProxies lists addresses (CIDR or single) whose X-Forwarded-* and Forwarded headers are believed.
	TrustedProxies []string `yaml:"trusted_proxies" json:"trusted_proxies" needs:"live"`
	// ForwardedHeaders says what the gateway is told of its clients: "set" (creel's own X-Forwarded-* and Forwarded) or "strip" (none).
	ForwardedHeaders string `yaml:"forwarded_headers" json:"forwarded_headers" enum:"set,strip" needs:"live"`
	// MaxHeaderBytes is the largest head of a request: request line and headers.
	MaxHeaderBytes int `yaml:"max_header_bytes" json:"max_header_bytes" kind:"bytes" needs:"creel upgrade"`
}

// Hold bounds the requests that wait for a gateway which starts or restarts.
type Hold struct {
	// Time is the longest that one request waits, in all, over all its attempts.
	Time time.Duration `yaml:"time" json:"time" needs:"live"`
	// Requests is how many may wait at once.
	Requests int `yaml:"requests" json:"requests" needs:"live"`
}

// Replay is what may be sent again.
type Replay struct {
	// BodyMemory is how much of one request body is kept in memory; more goes to disk.
	BodyMemory int64 `yaml:"body_memory" json:"body_memory" kind:"bytes" needs:"live"`
	// BodyMax is the largest body that is kept at all; a request with a larger one is not replayable once part of it was sent.
	BodyMax int64 `yaml:"body_max" json:"body_max" kind:"bytes" needs:"live"`
	// Budget is how many bytes of bodies are kept for all requests together, memory and disk.
	Budget int64 `yaml:"budget" json:"budget" kind:"bytes" needs:"live"`
	// IdempotentRoutes are the routes at which the app honours an idempotency key, so that a POST or PATCH carrying one is replayable.
	IdempotentRoutes []IdempotentRoute `yaml:"idempotent_routes" json:"idempotent_routes" needs:"live"`
	// CrashWindow is how long an answer with a 5xx status to a replayable request is held back to see whether the app ends; 0: not at all.
	CrashWindow time.Duration `yaml:"crash_window" json:"crash_window" needs:"live"`
}

// IdempotentRoute is a route whose app remembers keys.
type IdempotentRoute struct {
	// Path is the path; a trailing "*" stands for any rest.
	Path string `yaml:"path" json:"path"`
	// Header is the header that carries the key.
	Header string `yaml:"header" json:"header"`
}

// Timeouts bounds the phases of a connection. 0 is refused, except where it
// says what 0 means.
type Timeouts struct {
	// RequestHeader is the longest that a request's head may take to arrive.
	RequestHeader time.Duration `yaml:"request_header" json:"request_header" needs:"creel upgrade"`
	// BodyIdle is the longest pause between two pieces of a request body.
	BodyIdle time.Duration `yaml:"body_idle" json:"body_idle" needs:"live"`
	// WriteIdle is the longest that a client may leave written bytes untaken.
	WriteIdle time.Duration `yaml:"write_idle" json:"write_idle" needs:"live"`
	// Idle is the longest that a connection is kept open between two requests.
	Idle time.Duration `yaml:"idle" json:"idle" needs:"creel upgrade"`
	// Response is the longest time from the last byte of the request to the first of the answer; 0: no bound.
	Response time.Duration `yaml:"response" json:"response" needs:"live"`
}

// Log is creel's own log.
type Log struct {
	// Level is the least that is logged: debug, info, warn or error.
	Level string `yaml:"level" json:"level" enum:"debug,info,warn,error" needs:"live"`
	// Format is text, for people, or json, for log collectors.
	Format string `yaml:"format" json:"format" enum:"text,json" needs:"creel upgrade"`
}
