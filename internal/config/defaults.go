package config

import (
	"errors"
	"path/filepath"
	"time"
)

// Defaults, each with its reason. Those of the openclaw preset follow further
// down.
const (
	// DefaultListen is on loopback: nothing is reachable from outside until
	// someone says so. 8080 is the customary port of a local HTTP service.
	DefaultListen = "127.0.0.1:8080"

	// DefaultName is a word that reads well in status and metrics when there is
	// only one gateway.
	DefaultName = "gateway"

	// DefaultStart makes the app ready before the first request needs it;
	// on-demand saves memory at the cost of a first request that waits.
	DefaultStart = StartAlways

	// DefaultSandbox costs nothing where it can be had; where it cannot, that is
	// said, and is no reason not to start.
	DefaultSandbox = SandboxAuto

	// DefaultReadyTimeout is several times what slow starters need (an
	// interpreted app with plug-ins takes 10 to 40 s on a busy machine) and
	// still ends a start that will never succeed.
	DefaultReadyTimeout = 2 * time.Minute

	// DefaultAliveTimeout is longer than the pauses that a live app may make (a
	// large garbage collection, a blocked event loop), since a false alarm
	// costs a restart.
	DefaultAliveTimeout = 20 * time.Second

	// DefaultHangAction: an app that hangs serves nobody until it is restarted.
	DefaultHangAction = HangRestart

	// DefaultHangInterval costs the app one small request in five seconds, and is
	// a sixth of the time until suspicion, so that no single lost answer matters.
	DefaultHangInterval = 5 * time.Second

	// DefaultSuspectAfter is longer than the longest pauses of live apps: large
	// garbage collections and blocked event loops take seconds, not half a minute.
	DefaultSuspectAfter = 30 * time.Second

	// DefaultHangRestartAfter leaves a request that came with the hang enough of
	// its hold time (DefaultHoldTime) for the app's restart. An app that shows no
	// sign of life, and whose processes do nothing at all, for a minute, waits for
	// something that does not come.
	DefaultHangRestartAfter = time.Minute

	// DefaultBusyRestartAfter is ten times the minute at full load that real apps
	// were seen to take, and ends an endless loop all the same.
	DefaultBusyRestartAfter = 10 * time.Minute

	// DefaultDrain lets ordinary requests end; what takes longer (a stream, a
	// WebSocket) is ended with a reason.
	DefaultDrain = 10 * time.Second

	// DefaultGrace is enough to flush databases and close connections. Together
	// with the drain it stays under the 90 s that systemd allows for stopping a
	// service (TimeoutStopSec).
	DefaultGrace = 20 * time.Second

	// DefaultRestartDelay is short, since most crashes do not repeat; it doubles
	// with each fruitless instance.
	DefaultRestartDelay = 250 * time.Millisecond

	// DefaultMaxDelay is about how long a person is willing to wait after
	// having mended the cause.
	DefaultMaxDelay = 30 * time.Second

	// DefaultFruitless tells a crash loop from a run of bad luck: with the
	// delays above five in a row take two seconds and the app's own starts.
	DefaultFruitless = 5

	// DefaultRetryFailed lets a gateway come back by itself when the cause was
	// outside (a full disk, a database that was down), at a cost of one start in
	// five minutes.
	DefaultRetryFailed = 5 * time.Minute

	// DefaultHoldTime is as long as a start may take (DefaultReadyTimeout), so
	// that a request which comes with the start is still served.
	DefaultHoldTime = 2 * time.Minute

	// DefaultHoldRequests bounds memory: a waiting request costs some 10 to
	// 20 KiB, so 10,000 of them stay under 200 MiB.
	DefaultHoldRequests = 10000

	// DefaultBodyMemory covers nearly all API requests without touching the
	// disk.
	DefaultBodyMemory = 64 << 10

	// DefaultBodyMax covers attachments and pictures in JSON (base64); larger
	// uploads are rare and have clients that can repeat them.
	DefaultBodyMax = 64 << 20

	// DefaultBudget is eight of the largest bodies at once, which any disk that
	// can run the app can spare.
	DefaultBudget = 512 << 20

	// DefaultCrashWindow is far longer than a process needs from sending its
	// last answer to its end, and short enough not to be noticed on a 5xx.
	DefaultCrashWindow = 100 * time.Millisecond

	// DefaultEvery is what a person can be asked to do again after the loss of a
	// machine. A restless state costs a snapshot each time, of what has changed.
	DefaultEvery = 15 * time.Minute

	// DefaultSettle is longer than the pauses within one piece of work.
	DefaultSettle = 2 * time.Minute

	// DefaultFreeze is not noticed: about as long as a frame of a film.
	DefaultFreeze = 25 * time.Millisecond

	// DefaultFreezeMax is a pause that clients take for a slow answer, and far
	// below what makes peers of the app take it for dead.
	DefaultFreezeMax = 2 * time.Second

	// The defaults of keep are a day in small steps, a week of days, a month of
	// weeks, and half a year. Equal contents are stored once.
	DefaultKeepLast    = 10
	DefaultKeepHourly  = 24
	DefaultKeepDaily   = 7
	DefaultKeepWeekly  = 4
	DefaultKeepMonthly = 6

	// DefaultShrinkAlarm is more than a clean-up removes, as a rule, and less
	// than a loss does.
	DefaultShrinkAlarm = 50

	// DefaultOwnerTerm is longer than the pauses of a store and the lines to it are,
	// as a rule: with the other defaults one of up to two and a half minutes is not
	// noticed at all. It is also how long another machine waits when this one is
	// dead, which for most is rarer.
	DefaultOwnerTerm = 5 * time.Minute

	// DefaultOldState is long enough to notice on the next working day that a
	// restore was a mistake.
	DefaultOldState = 7 * 24 * time.Hour

	// DefaultRequestHeader is generous for a head, which fits in a few packets,
	// and ends connections that send one byte at a time (slow loris).
	DefaultRequestHeader = 10 * time.Second

	// DefaultBodyIdle is a pause that means a dead client rather than a slow
	// network. It bounds pauses, not the whole, so large uploads may take their
	// time.
	DefaultBodyIdle = 60 * time.Second

	// DefaultWriteIdle is the same for a client that stops reading.
	DefaultWriteIdle = 60 * time.Second

	// DefaultIdle is longer than the 60 s at which common load balancers let go
	// of an idle connection, so that it is they who close it and no request
	// meets a closing connection.
	DefaultIdle = 120 * time.Second

	// DefaultResponse is longer than a model takes for its longest answers. No
	// wait is without an end: after it the client gets 504.
	DefaultResponse = 10 * time.Minute

	// DefaultForwardedHeaders tells the app who its clients are.
	DefaultForwardedHeaders = ForwardedSet

	// DefaultMaxHeaderBytes is four times what Node.js servers accept (16 KiB)
	// and more than other common proxies do (HAProxy 16 KiB, nginx 32 KiB), so it never is what
	// refuses a request that the app would have taken; Go's own default of 1 MiB
	// would let each connection cost that much before anything is known of it.
	DefaultMaxHeaderBytes = 64 << 10

	// DefaultUpgradeDrain lets nearly every stream come to its end by itself (it
	// is as long as an answer may keep a client waiting, DefaultResponse). The
	// old creel costs some 20 MB meanwhile, and nothing else.
	DefaultUpgradeDrain = 10 * time.Minute

	// DefaultLogLevel shows state changes and decisions.
	DefaultLogLevel = "info"

	// DefaultLogFormat is for people; "json" is for log collectors.
	DefaultLogFormat = "text"
)

// Defaults of the preset openclaw.
const (
	// OpenClawVersion is the version that this creel was tested with.
	OpenClawVersion = "2026.9.6"

	// OpenClawReadyTimeout allows for a first start on a busy machine, which
	// prepares plug-ins and databases: 12 to 40 s were measured.
	OpenClawReadyTimeout = 3 * time.Minute
)

// Defaults is the configuration with nothing set. Its DataDir is empty, because
// the default depends on the user: see DefaultDataDir.
func Defaults() Config {
	return Config{
		Listen: DefaultListen,
		Gateway: Gateway{
			Name:     DefaultName,
			Start:    DefaultStart,
			Sandbox:  DefaultSandbox,
			OpenClaw: OpenClaw{Approve: ApproveAsk, Trial: DefaultOpenClawTrial},
			Ready:    Ready{Timeout: DefaultReadyTimeout},
			Alive:    Alive{Timeout: DefaultAliveTimeout},
			Hang: Hang{
				Action: DefaultHangAction, Interval: DefaultHangInterval, SuspectAfter: DefaultSuspectAfter,
				RestartAfter: DefaultHangRestartAfter, BusyRestartAfter: DefaultBusyRestartAfter,
			},
			Stop:    Stop{Drain: DefaultDrain, Grace: DefaultGrace},
			Restart: Restart{Delay: DefaultRestartDelay, MaxDelay: DefaultMaxDelay, Fruitless: DefaultFruitless, RetryFailed: DefaultRetryFailed},
		},
		Snapshots: Snapshots{
			Mode: SnapshotsAuto, Restore: RestoreAuto, Every: DefaultEvery, Settle: DefaultSettle,
			Freeze: DefaultFreeze, FreezeMax: DefaultFreezeMax,
			Keep:        Retention{Last: DefaultKeepLast, Hourly: DefaultKeepHourly, Daily: DefaultKeepDaily, Weekly: DefaultKeepWeekly, Monthly: DefaultKeepMonthly},
			ShrinkAlarm: DefaultShrinkAlarm, OldState: DefaultOldState,
			Owner: OwnerAuto, OwnerTerm: DefaultOwnerTerm,
			Store: Store{Kind: StoreFolder},
		},
		Proxy: Proxy{
			Hold:   Hold{Time: DefaultHoldTime, Requests: DefaultHoldRequests},
			Replay: Replay{BodyMemory: DefaultBodyMemory, BodyMax: DefaultBodyMax, Budget: DefaultBudget, CrashWindow: DefaultCrashWindow},
			Timeouts: Timeouts{
				RequestHeader: DefaultRequestHeader,
				BodyIdle:      DefaultBodyIdle,
				WriteIdle:     DefaultWriteIdle,
				Idle:          DefaultIdle,
				Response:      DefaultResponse,
			},
			ForwardedHeaders: DefaultForwardedHeaders,
			MaxHeaderBytes:   DefaultMaxHeaderBytes,
		},
		Providers: Providers{Proxy: ProvidersProxyOn, FirstByte: DefaultResponse},
		Auth:      defaultAuth(),
		Upgrade:   Upgrade{Drain: DefaultUpgradeDrain},
		Compat:    Compat{DebugRoutes: DebugRoutesOff},
		Log:       Log{Level: DefaultLogLevel, Format: DefaultLogFormat},
	}
}

// ApplyPreset changes cfg from the defaults to those of a preset. A name that it
// does not know, or PresetNone, changes nothing: Validate refuses the former.
func ApplyPreset(cfg *Config, preset string) {
	if preset != PresetOpenClaw {
		return
	}
	g := &cfg.Gateway
	g.Preset = PresetOpenClaw
	g.Name = "openclaw"
	g.Version = OpenClawVersion
	// /readyz answers 503 until the gateway serves; /healthz answers 200 as long
	// as the process is alive, also while it drains, so it says nothing about
	// readiness and everything about life.
	g.Ready.Path = "/readyz"
	g.Ready.Timeout = OpenClawReadyTimeout
	g.Alive.Path = "/healthz"
	// Of all routes that start an agent's turn this one remembers keys.
	cfg.Proxy.Replay.IdempotentRoutes = []IdempotentRoute{{Path: "/hooks/agent", Header: "Idempotency-Key"}}
	// OpenClaw answers 403 to headers from a proxy that it was not told to
	// trust, and the preset tells it to trust creel's.
	cfg.Proxy.ForwardedHeaders = ForwardedSet
}

// DefaultDataDir is the data folder of a user: /var/lib/creel for root, else
// $XDG_STATE_HOME/creel, else ~/.local/state/creel (XDG Base Directory
// Specification 0.8, which wants a relative $XDG_STATE_HOME ignored).
func DefaultDataDir(lookupEnv func(string) (string, bool), uid int) (string, error) {
	if uid == 0 {
		return "/var/lib/creel", nil
	}
	if dir, ok := lookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "creel"), nil
	}
	if home, ok := lookupEnv("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "creel"), nil
	}
	return "", errors.New("cannot tell where to keep data: neither XDG_STATE_HOME nor HOME is an absolute path; set data_dir, CREEL_DATA_DIR or --data-dir")
}
