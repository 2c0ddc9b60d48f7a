package openclaw

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"creel/internal/openclaw/moltenv"
)

// EnvError says that a person sets a variable for the gateway that creel owns.
type EnvError struct {
	Name   string // the variable
	Reason string // why creel owns it
}

func (e *EnvError) Error() string {
	return fmt.Sprintf("cannot set %s for OpenClaw: %s; remove it from the gateway's env", e.Name, e.Reason)
}

// refused are variables that a person cannot set for the gateway, besides those
// of owned.
var refused = map[string]string{
	// The launcher would start the gateway as a child of itself; killed with
	// SIGKILL it leaves the real gateway behind, with port and locks.
	"NODE_COMPILE_CACHE": "with it the process that creel watches is not the gateway",
	// They take precedence over the configuration that creel keeps.
	"OPENCLAW_GATEWAY_TOKEN":    "the token is kept in openclaw.json",
	"OPENCLAW_GATEWAY_PASSWORD": "clients log in with the token in openclaw.json",
	"OPENCLAW_GATEWAY_PORT":     "the port is creel's choice",
	"OPENCLAW_HOME":             "it would move the state out of the folders that creel protects",
	"OPENCLAW_PROFILE":          "it would move the state out of the folders that creel protects",
	// Each makes OpenClaw believe in another supervisor, and OpenClaw would
	// exit for a restart or try to restart that one.
	"INVOCATION_ID":         "it makes OpenClaw believe that systemd restarts it",
	"SYSTEMD_EXEC_PID":      "it makes OpenClaw believe that systemd restarts it",
	"JOURNAL_STREAM":        "it makes OpenClaw believe that systemd restarts it",
	"OPENCLAW_SYSTEMD_UNIT": "it makes OpenClaw believe that systemd restarts it",
}

// inheritedNames are variables of creel's own environment that mean something
// to creel's process and something wrong to the gateway.
var inheritedNames = map[string]bool{
	// systemd's messages to the process that it started (systemd.exec(5),
	// sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)).
	"INVOCATION_ID": true, "SYSTEMD_EXEC_PID": true, "JOURNAL_STREAM": true,
	"MAINPID": true, "MANAGERPID": true, "NOTIFY_SOCKET": true,
	"LISTEN_FDS": true, "LISTEN_PID": true, "LISTEN_FDNAMES": true, "FDSTORE": true,
	"WATCHDOG_USEC": true, "WATCHDOG_PID": true,
	"CREDENTIALS_DIRECTORY": true, "CACHE_DIRECTORY": true, "STATE_DIRECTORY": true,
	"LOGS_DIRECTORY": true, "RUNTIME_DIRECTORY": true, "CONFIGURATION_DIRECTORY": true,
	"MEMORY_PRESSURE_WATCH": true, "MEMORY_PRESSURE_WRITE": true,

	// What a Node.js that started creel, or an editor's terminal, put there: a
	// debugger to load, a pipe to a parent, another cache.
	"NODE_OPTIONS": true, "NODE_COMPILE_CACHE": true, "NODE_PATH": true,
	"NODE_V8_COVERAGE": true, "NODE_CHANNEL_FD": true, "NODE_UNIQUE_ID": true,

	// Folders of creel's user: the gateway's are below its own HOME and TMPDIR.
	"XDG_CONFIG_HOME": true, "XDG_CACHE_HOME": true, "XDG_DATA_HOME": true, "XDG_STATE_HOME": true,
	"TMP": true, "TEMP": true, "PWD": true, "OLDPWD": true, "_": true,

	// A terminal's wishes: the gateway's output goes to a file.
	"FORCE_COLOR": true, "CLICOLOR_FORCE": true, "COLORTERM": true, "TERM": true,

	// The password of a snapshot store.
	"KOPIA_PASSWORD": true,
}

// withheld are settings of whoever looks after the gateway, under the names that
// moltworker gave them.
var withheld = moltenv.Withheld()

// inheritedPrefixes are the same by prefix. OPENCLAW_…: a creel that was
// started from a terminal inside some OpenClaw has its markers, tokens and
// folders; who wants one of them for this gateway sets it in the gateway's env.
var inheritedPrefixes = []string{
	"CREEL_", "OPENCLAW_", "npm_lifecycle_", "npm_package_",
}

// isInherited reports whether a variable of creel's environment is kept from
// the gateway.
func isInherited(name string) bool {
	if inheritedNames[name] || slices.Contains(withheld, name) {
		return true
	}
	return slices.ContainsFunc(inheritedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// owned are the variables that creel sets.
func owned(l Layout) map[string]string {
	return map[string]string{
		"HOME":                 l.Home(),
		"TMPDIR":               l.Tmp(),
		"OPENCLAW_STATE_DIR":   l.State(),
		"OPENCLAW_CONFIG_PATH": l.Config(),
		// When it wants to be restarted it exits with 0, and leaves the rest to
		// creel. Without a supervisor it would restart inside its process and
		// nobody would know which generation a connection belongs to.
		"OPENCLAW_SUPERVISOR_MODE": "external",
		// The version is creel's to change, with a snapshot before.
		"OPENCLAW_NO_AUTO_UPDATE": "1",
		// It would announce the gateway's own port on the network.
		"OPENCLAW_DISABLE_BONJOUR": "1",
	}
}

// environment is the whole environment of an instance: what creel inherited
// without what is not meant for it, then extra, then what creel owns. Provider
// keys (ANTHROPIC_API_KEY, …) pass.
func environment(l Layout, in Installation, environ []string, extra map[string]string) ([]string, error) {
	env := make(map[string]string, len(environ)+len(extra)+8)
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && name != "" && !isInherited(name) {
			env[name] = value
		}
	}
	own := owned(l)
	for name, value := range extra {
		if reason, bad := refused[name]; bad {
			return nil, &EnvError{Name: name, Reason: reason}
		}
		if want, isOwn := own[name]; isOwn && value != want {
			return nil, &EnvError{Name: name, Reason: "creel sets it to " + want}
		}
		env[name] = value
	}
	for name, value := range own {
		env[name] = value
	}
	env["PATH"] = prependPath(filepath.Dir(in.Node), env["PATH"])
	return joinEnv(env), nil
}

// defaultPath is used where creel was started without a PATH. An empty element
// would mean the working directory.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// prependPath puts dir first, so that "#!/usr/bin/env node" finds the Node.js
// that belongs to the installation.
func prependPath(dir, path string) string {
	if path == "" {
		path = defaultPath
	}
	return dir + string(os.PathListSeparator) + path
}

func joinEnv(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
