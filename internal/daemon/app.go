package daemon

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"creel/internal/config"
	"creel/internal/freeport"
	"creel/internal/gateway"
	"creel/internal/runtime"
	"creel/internal/snapshot/capture"
)

// app is what is special to the program that creel keeps alive.
type app interface {
	// plan prepares an instance and says what to run.
	plan(ctx context.Context, g config.Gateway, generation uint64) (runtime.Spec, error)
	// environment is that of an instance that was taken over, by the configuration
	// as it is now.
	environment(g config.Gateway, rec runtime.Record) ([]string, error)
	// state are the folders that hold the app's state; none: it has none, or none
	// that creel knows of.
	state(cfg config.Gateway) []string
	// notState are patterns, as in .gitignore, of what is in these folders and is
	// worth nothing.
	notState() []string
	// explain says in words how an instance ended.
	explain(exit runtime.Exit, log []string) gateway.End
	// attribute tells whether the app is told of a client at that address; nil:
	// as proxy.forwarded_headers says.
	attribute() func(netip.Addr) bool
	// admit tells whether a request may pass; see proxy.Options.Admit. nil: all may.
	admit() func(client netip.Addr, claimed bool) bool
	// link is the address to click; it may hold a secret.
	link(listen string) string
	// opening is the path that opens the app for a person who is let in, with
	// whatever it takes in the fragment.
	opening() string
	// secret is the app's own token; "": it has none, or none yet.
	secret() string
}

// command is any HTTP server, started by a command line.
type command struct {
	environ []string
	port    port
}

func (c *command) plan(_ context.Context, g config.Gateway, generation uint64) (runtime.Spec, error) {
	port, err := c.port.choose(g.Port)
	if err != nil {
		return runtime.Spec{}, err
	}
	argv := make([]string, len(g.Command))
	for i, arg := range g.Command {
		argv[i] = expandPort(arg, port)
	}
	return runtime.Spec{
		Gateway: g.Name, Generation: generation, Command: argv, Dir: g.Dir, Port: port,
		Env: instanceEnv(c.environ, g.Env, port, generation), ConfigHash: config.Hash(g),
		Limits: limitsOf(g.Limits),
	}, nil
}

func limitsOf(l config.Limits) runtime.Limits {
	return runtime.Limits{Memory: l.Memory, CPU: l.CPU, PIDs: l.PIDs, OpenFiles: l.OpenFiles}
}

func (c *command) state(g config.Gateway) []string { return g.State }
func (c *command) notState() []string              { return capture.DefaultIgnore }

func (c *command) explain(exit runtime.Exit, log []string) gateway.End {
	return gateway.Explain(exit, log)
}
func (c *command) attribute() func(netip.Addr) bool   { return nil }
func (c *command) admit() func(netip.Addr, bool) bool { return nil }
func (c *command) link(listen string) string          { return "http://" + browsable(listen) + "/" }
func (c *command) opening() string                    { return "/" }
func (c *command) secret() string                     { return "" }

// expandPort puts the port in the place of $PORT and ${PORT}.
func expandPort(arg string, port int) string {
	p := strconv.Itoa(port)
	arg = strings.ReplaceAll(arg, "${PORT}", p)
	head, rest, found := strings.Cut(arg, "$PORT")
	if !found {
		return arg
	}
	if rest != "" && isNameByte(rest[0]) { // $PORTAL is another variable
		return head + "$PORT" + expandPort(rest, port)
	}
	return head + p + expandPort(rest, port)
}

func isNameByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

// ofCreelAlone are variables that speak of creel's own process: its service
// manager would take a gateway that answers them for creel.
var ofCreelAlone = []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
	"INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MAINPID"}

// instanceEnv is the environment of an instance: creel's own, less what is
// creel's alone, then what the configuration adds, then $PORT and
// $CREEL_GENERATION.
func instanceEnv(environ []string, extra map[string]string, port int, generation uint64) []string {
	env := map[string]string{}
	for _, kv := range environ {
		k, v, ok := strings.Cut(kv, "=")
		if ok && !strings.HasPrefix(k, "CREEL_") && !slices.Contains(ofCreelAlone, k) {
			env[k] = v
		}
	}
	maps.Copy(env, extra)
	env["PORT"] = strconv.Itoa(port)
	env["CREEL_GENERATION"] = strconv.FormatUint(generation, 10)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}

// port is the port that instances listen on: a fixed one, or one that is chosen
// anew if it turns out to be taken.
type port struct{ chosen int }

// choose gives the port of the next instance; fixed is 0 where none is.
func (p *port) choose(fixed int) (int, error) {
	if fixed != 0 {
		return fixed, nil
	}
	if p.chosen != 0 && freeport.IsFree(p.chosen) {
		return p.chosen, nil
	}
	found, err := freeport.Find(nil)
	if err != nil {
		return 0, fmt.Errorf("the gateway has no port: %w", err)
	}
	p.chosen = found
	return found, nil
}

// browsable is a listener's address as a browser on this machine can use it.
func browsable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// gatewayDir is the folder of a gateway's record, intent and output.
func gatewayDir(cfg *config.Config) string {
	return filepath.Join(cfg.DataDir, "gateways", cfg.Gateway.Name)
}
