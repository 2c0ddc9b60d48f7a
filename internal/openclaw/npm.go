package openclaw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// oldestNPM is the oldest major version of npm that was tried (8.5.1, 9.2.0 and
// 11.19.1 were). It came with Node.js 16.
const oldestNPM = 8

// npm runs the machine's npm.
type npm struct {
	path   string
	env    []string
	cache  string
	log    *runLog
	pauses []time.Duration
}

// findNPM finds npm and asks it for its version.
func (in *Installer) findNPM(ctx context.Context) (*npm, error) {
	path := in.NPM
	if path == "" {
		found, err := exec.LookPath("npm")
		if err != nil {
			return nil, &InstallError{Reason: ReasonNPMMissing, Detail: "there is no npm in PATH",
				Next: `install Node.js with npm (such as "apt install npm", or from nodejs.org) and try again; creel brings its own Node.js to run OpenClaw with`}
		}
		path = found
	}
	log, err := newRunLog(in.Layout.Logs())
	if err != nil {
		return nil, err
	}
	log.exec = in.Exec
	n := &npm{path: path, env: npmEnv(in.Environ), cache: in.Layout.npmCache(), log: log, pauses: in.pauses}
	if n.pauses == nil {
		n.pauses = retryPauses
	}
	if err := n.checkVersion(ctx); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// close ends the log. It was written line by line; there is nothing to lose.
func (n *npm) close() { _ = n.log.file.Close() }

func (n *npm) checkVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	// Outside of any project, whose .npmrc and packageManager would count.
	out, err := n.log.run(ctx, command{path: n.path, args: []string{"--version"}, dir: filepath.Dir(n.log.path), env: n.env})
	if err != nil {
		return n.log.explain(&InstallError{Reason: ReasonNPMFailed, Detail: n.path + " --version failed", Err: err,
			Next: "repair the installation of npm"})
	}
	version := lastLine(out)
	major, err := strconv.Atoi(version[:max(0, strings.IndexByte(version, '.'))])
	if err != nil {
		return n.log.explain(&InstallError{Reason: ReasonNPMFailed, Detail: n.path + " --version did not say a version",
			Next: "repair the installation of npm"})
	}
	if major < oldestNPM {
		return &InstallError{Reason: ReasonNPMTooOld, Detail: fmt.Sprintf("npm is version %s, and %d or later is needed", version, oldestNPM),
			Next: `update it ("npm install -g npm@10", or a newer Node.js)`}
	}
	return nil
}

// install installs one package and what it depends on into dir. nodeBin is the
// folder of the Node.js that npm is run with; empty: the machine's. again is
// called with each failure that another attempt follows.
func (n *npm) install(ctx context.Context, dir, pkg, version, nodeBin string, again func(*InstallError)) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return diskError("make a folder", err)
	}
	// npm looks for the project in the folders above if there is no package.json.
	project := fmt.Sprintf("{\"private\":true,\"dependencies\":{%q:%q}}\n", pkg, version)
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(project), 0o600); err != nil {
		return diskError("write a file", err)
	}
	c := command{path: n.path, args: n.installArgs(dir), dir: dir, env: n.env}
	if nodeBin != "" {
		c.env = withPath(n.env, nodeBin)
	}
	return retry(ctx, n.pauses, again, func() error {
		if err := n.runInstall(ctx, c); err != nil {
			return err
		}
		return n.checkIntegrity(dir, pkg, version)
	})
}

// installArgs are npm's arguments; they come before the user's settings.
func (n *npm) installArgs(dir string) []string {
	return []string{
		"install",
		// Here, and nowhere else, whatever the user's settings say.
		"--prefix", dir, "--global=false", "--location=project", "--workspaces=false",
		"--cache", n.cache,
		// The layout that the paths in tree rely on, with nothing left out.
		"--install-strategy=hoisted", "--include=optional", "--include=prod",
		"--ignore-scripts", "--package-lock=false", "--dry-run=false",
		"--audit=false", "--fund=false", "--update-notifier=false", "--progress=false",
		// npm's own retries are short: creel's own come after them, and those
		// can be seen and be ended.
		"--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000",
		// One line per download: signs of life in the log.
		"--loglevel=http", "--color=false",
	}
}

func (n *npm) runInstall(ctx context.Context, c command) error {
	ctx, cancel := context.WithTimeoutCause(ctx, npmTimeout, errNPMTimeout)
	defer cancel()
	out, err := n.log.run(ctx, c)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errNPMTimeout):
		return n.log.explain(&InstallError{Reason: ReasonNPMTimedOut, Detail: "npm did not end within " + npmTimeout.String(),
			Next: `check the network and npm's registry ("npm ping")`})
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return n.log.explain(npmFailure(out, err))
	}
}

var errNPMTimeout = errors.New("npm took too long")

// checkIntegrity compares what npm says it has unpacked with the checksum that
// was published, before anything of it is run.
func (n *npm) checkIntegrity(dir, pkg, version string) error {
	want, known := integrity[pkg+"@"+version]
	if !known {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err != nil {
		return n.log.explain(&InstallError{Reason: ReasonBroken, Detail: "npm ended without an error and without an installation", Err: err, Next: nextRetry})
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		return n.log.explain(&InstallError{Reason: ReasonBroken, Detail: "npm's list of packages cannot be read", Err: err, Next: nextRetry})
	}
	if got := lock.Packages["node_modules/"+pkg]; got.Version != version || got.Integrity != want {
		return n.log.explain(&InstallError{Reason: ReasonIntegrity,
			Detail: fmt.Sprintf("npm installed %s %s with the checksum %q, and %s has %q", pkg, got.Version, got.Integrity, version, want),
			Next:   `check npm's registry ("npm config get registry"): it serves another package under this name`})
	}
	return nil
}

// retry runs do until it succeeds, fails for good, the pauses are used up, or
// ctx ends. again is called with each failure that another attempt follows.
func retry(ctx context.Context, pauses []time.Duration, again func(*InstallError), do func() error) error {
	for i := 0; ; i++ {
		err := do()
		failure, ok := errors.AsType[*InstallError](err)
		if !ok || !failure.retryable() || i >= len(pauses) {
			return err
		}
		again(failure)
		timer := time.NewTimer(pauses[i])
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// npmEnv is the environment for npm. It keeps the user's settings for npm
// (registry, proxy, certificates) and drops what a surrounding "npm run" or
// "npx" has added, what changes where npm installs, and creel's own settings.
func npmEnv(environ []string) []string {
	var env []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		switch lower := strings.ToLower(name); {
		case strings.HasPrefix(name, "CREEL_"),
			strings.HasPrefix(lower, "npm_lifecycle_"), strings.HasPrefix(lower, "npm_package_"),
			lower == "npm_config_global", lower == "npm_config_location", lower == "npm_config_prefix",
			lower == "npm_config_local_prefix", lower == "npm_config_allow_scripts",
			lower == "npm_command", lower == "npm_execpath", lower == "npm_node_execpath",
			name == "NODE_OPTIONS", name == "NODE_CHANNEL_FD", name == "NODE_UNIQUE_ID", name == "INIT_CWD":
			continue
		}
		env = append(env, kv)
	}
	return env
}

// withPath is env with dir first in PATH.
func withPath(env []string, dir string) []string {
	path := ""
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
			continue
		}
		out = append(out, kv)
	}
	return append(out, "PATH="+prependPath(dir, path))
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
