package openclaw

import (
	"fmt"
	"strconv"
)

// Invocation is what to execute for an instance.
type Invocation struct {
	Argv []string // program and arguments; no secret is among them
	Dir  string   // working directory
	Env  []string // the whole environment, as KEY=VALUE, sorted
}

// Command is the invocation of a gateway that was installed and configured.
//
// port is the TCP port on 127.0.0.1, the same that Configure was given. environ
// is creel's environment (os.Environ), extra what a person adds to it for the
// gateway. *EnvError: extra sets a variable that creel must own.
//
// The main process stays the one that is started: its launcher replaces itself
// only if NODE_COMPILE_CACHE is set, which is why that is refused. It has child
// processes, one of them in a session of its own.
func Command(l Layout, in Installation, port int, environ []string, extra map[string]string) (Invocation, error) {
	if port < 1 || port > 65535 {
		return Invocation{}, fmt.Errorf("cannot start OpenClaw on port %d: a TCP port is 1 to 65535", port)
	}
	env, err := environment(l, in, environ, extra)
	if err != nil {
		return Invocation{}, err
	}
	return Invocation{
		// --port comes before the configuration and OPENCLAW_GATEWAY_PORT.
		Argv: []string{in.Node, in.Entry, "gateway", "--port", strconv.Itoa(port)},
		// Relative paths in the configuration and in agents' commands then end
		// in the state, whatever folder creel was started in.
		Dir: l.Home(),
		Env: env,
	}, nil
}
