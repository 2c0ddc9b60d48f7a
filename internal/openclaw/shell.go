package openclaw

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// NotInstalledError says that there is no OpenClaw to be run.
type NotInstalledError struct {
	Version string
	Dir     string // where it would be
	Err     error  // what is missing or damaged
}

func (e *NotInstalledError) Error() string {
	return fmt.Sprintf("OpenClaw %s is not installed in %s (%v); `creel up` installs it", e.Version, e.Dir, e.Err)
}

func (e *NotInstalledError) Unwrap() error { return e.Err }

// Find returns the installation without making one. *NotInstalledError: there is
// none, or it is damaged.
func (in *Installer) Find() (Installation, error) {
	spec, err := in.spec()
	if err != nil {
		return Installation{}, err
	}
	if err := spec.check(); err != nil {
		return Installation{}, &NotInstalledError{Version: spec.version, Dir: spec.dir, Err: err}
	}
	return spec.installation(true), nil
}

// CLI is the invocation of OpenClaw's own command line on the state of this
// layout: the same folders, Node.js and variables as the gateway's. It finds the
// gateway, and the token, in openclaw.json. environ and extra are as in Command.
//
// The working directory is the caller's: paths among the arguments are theirs. A
// terminal's variables are kept, since one may be there.
func CLI(l Layout, in Installation, environ []string, extra map[string]string, args []string) (Invocation, error) {
	if _, err := os.Stat(l.Config()); errors.Is(err, fs.ErrNotExist) {
		return Invocation{}, fmt.Errorf("OpenClaw is not configured yet (%s is missing); `creel up` configures it", l.Config())
	}
	shown := map[string]string{}
	for _, name := range []string{"TERM", "COLORTERM", "NO_COLOR"} {
		if value, ok := lookupEnv(environ, name); ok {
			shown[name] = value
		}
	}
	for name, value := range extra {
		shown[name] = value
	}
	env, err := environment(l, in, environ, shown)
	if err != nil {
		return Invocation{}, err
	}
	return Invocation{Argv: append([]string{in.Node, in.Entry}, args...), Env: env}, nil
}

func lookupEnv(environ []string, name string) (string, bool) {
	for _, kv := range environ {
		if len(kv) > len(name) && kv[len(name)] == '=' && kv[:len(name)] == name {
			return kv[len(name)+1:], true
		}
	}
	return "", false
}
