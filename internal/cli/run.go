package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/daemon"
	"creel/internal/handover"
	"creel/internal/telemetry"
)

// settings are the flags of commands that start a daemon. Each is a key of the
// configuration.
type settings struct {
	configFile string
	values     []config.Flag
}

// flag makes a command-line flag that sets a key of the configuration.
func (s *settings) flag(cmd *cobra.Command, name, key, usage string) {
	cmd.Flags().Var(&settingFlag{s: s, name: "--" + name, key: key}, name, usage)
}

// settingFlag is a flag's value; a flag that is given again adds to a list and
// otherwise wins.
type settingFlag struct {
	s         *settings
	name, key string
	list      bool
	given     []string
}

func (f *settingFlag) String() string { return "" }
func (f *settingFlag) Type() string {
	return strings.ToUpper(f.key[strings.LastIndexByte(f.key, '.')+1:])
}

func (f *settingFlag) Set(v string) error {
	if !f.list {
		f.given = nil
	}
	f.given = append(f.given, v)
	f.s.values = append(f.s.values, config.Flag{Name: f.name, Key: f.key, Values: f.given})
	return nil
}

func (s *settings) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.configFile, "config", "", "configuration `FILE` (default: $CREEL_CONFIG, else none); see creel config schema")
	s.flag(cmd, "listen", "listen", "`ADDRESS` that clients connect to, as host:port (default "+config.DefaultListen+")")
	s.flag(cmd, "gateway-port", "gateway.port", "port on 127.0.0.1 that the gateway listens on (default: a free one, told by $PORT)")
	s.flag(cmd, "log-level", "log.level", "debug, info, warn or error (default info)")
	s.flag(cmd, "log-format", "log.format", "text or json (default text)")
}

func newRun(e *env) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "run [flags] [-- COMMAND [ARG...]]",
		Short: "Keep any HTTP server alive",
		Long: `Starts COMMAND, passes HTTP and WebSocket on to it, and keeps it alive.

COMMAND must listen on 127.0.0.1 at $PORT; $PORT in its arguments is replaced.
Without COMMAND the configuration file says what to run.

Ctrl-C (or SIGTERM) stops the gateway in good order and then creel; a second
one kills what is left. If creel itself is killed, the gateway lives on, and the
next creel on the same data folder takes it over.`,
		Example: `  creel run --ready-path /healthz -- node server.js
  creel run --gateway-port 9000 -- ./server --port 9000
  creel run --config creel.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() > 0 || (cmd.ArgsLenAtDash() < 0 && len(args) > 0) {
				return fmt.Errorf("put -- before the command: creel run -- %s", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				s.values = append(s.values, config.Flag{Name: "the command line", Key: "gateway.command", Values: args})
			}
			return e.run(s)
		},
	}
	s.addTo(cmd)
	s.flag(cmd, "ready-path", "gateway.ready.path", "HTTP path that answers 2xx once the gateway can serve (default: it accepts a connection)")
	s.flag(cmd, "alive-path", "gateway.alive.path", "HTTP path that a live gateway answers even if it is not ready")
	s.flag(cmd, "start", "gateway.start", "`WHEN` it is started: always, or on-demand, with the first request (default always)")
	cmd.Flags().Var(&settingFlag{s: s, name: "--state", key: "gateway.state", list: true}, "state", "`DIR` of the gateway's state; may be given again")
	return cmd
}

// run loads the configuration and runs a daemon until it is told to stop.
func (e *env) run(s *settings) error {
	if e.dataDir != "" {
		s.values = append(s.values, config.Flag{Name: "--data-dir", Key: "data_dir", Values: []string{e.dataDir}})
	}
	predecessor, environ, err := handover.Inherit(e.environ)
	if err != nil {
		return err
	}
	err = e.runDaemon(s, predecessor, environ)
	if err != nil && predecessor != nil {
		predecessor.Failed(err) // of no effect if it had taken over
	}
	return err
}

func (e *env) runDaemon(s *settings, predecessor *handover.Predecessor, environ []string) error {
	var origins origins
	load := func() (*config.Config, error) {
		cfg, sources, err := config.Load(config.LoadOptions{Path: s.configFile, Environ: environ, Flags: s.values})
		if err == nil {
			origins.keep(cfg, sources)
		}
		return cfg, err
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	level := &telemetry.Level{}
	logger, err := telemetry.NewLogger(e.stderr, level, cfg.Log.Format)
	if err := errors.Join(err, level.Set(cfg.Log.Level)); err != nil {
		return usageError{err}
	}
	if err := e.checkCommand(cfg); err != nil {
		return err
	}
	reload := func() (*config.Config, error) {
		cfg, err := load()
		if err == nil {
			if err := e.checkCommand(cfg); err != nil {
				return nil, &daemon.RefusedError{Key: "gateway.command", Why: err.Error()}
			}
		}
		return cfg, err
	}
	for _, w := range cfg.Warnings() {
		logger.Warn(w.Message, "key", w.Key)
	}
	console := &console{out: e.plain, err: e.stderr, quiet: predecessor != nil, onDemand: cfg.Gateway.Start == config.StartOnDemand,
		elsewhere: elsewhere(cfg)}
	defer console.end()
	return daemon.Run(e.ctx, daemon.Options{
		Config: cfg, Args: os.Args[1:], Environ: environ, Version: Version(), Logger: logger, Hurry: e.hurry,
		Predecessor: predecessor, Upgrade: upgrades(), Reload: reload, SetLogLevel: level.MustSet,
		OnState: console.state, OnInstall: console.install, Sources: origins.of, Doctor: func(context.Context) []api.Finding { return machineFindings(cfg.DataDir) },
	})
}

// upgrades gives the signals that ask for an upgrade: SIGUSR2, and SIGHUP, which
// services are sent for a reload; on a terminal that one says that the terminal
// is gone, and ends creel as it ends any program.
func upgrades() <-chan os.Signal {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	if !isTerminal(os.Stderr) {
		signal.Notify(asked, syscall.SIGHUP)
	}
	return asked
}

// checkCommand says at once, not after five fruitless starts, that there is no
// such command.
func (e *env) checkCommand(cfg *config.Config) error {
	if len(cfg.Gateway.Command) == 0 {
		return nil
	}
	name := cfg.Gateway.Command[0]
	if strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) && cfg.Gateway.Dir != "" {
		name = filepath.Join(cfg.Gateway.Dir, name)
	}
	if _, ok := cfg.Gateway.Env["PATH"]; ok && !strings.ContainsRune(name, filepath.Separator) {
		return nil // looked up in another PATH, at its start
	}
	if _, err := exec.LookPath(name); err != nil {
		var lookup *exec.Error
		if errors.As(err, &lookup) {
			err = lookup.Err
		}
		return usage("cannot run %q: %w; name a program that exists, with its path or from $PATH", cfg.Gateway.Command[0], err)
	}
	return nil
}
