package cli

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"creel/internal/config"
	"creel/internal/daemon"
	"creel/internal/openclaw"
	"creel/internal/provider"
)

func newOpenClaw(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "openclaw",
		Short: "OpenClaw's versions, configuration, command line and health",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var configFile string
	cmd.PersistentFlags().StringVar(&configFile, "config", "", "configuration `FILE` that creel was started with")
	var fix bool
	doctor := &cobra.Command{
		Use:   "doctor",
		Short: "Have OpenClaw look at its configuration and state",
		Long: `Runs OpenClaw's own "config validate" and "doctor" on the state that creel keeps.
With --fix OpenClaw changes what it finds wrong; that is refused while the gateway
runs, since it would change the state under it.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return e.openclawDoctor(configFile, fix) },
	}
	doctor.Flags().BoolVar(&fix, "fix", false, "let OpenClaw repair what it can; the gateway has to be stopped")
	cmd.AddCommand(newOpenClawVersions(e), newOpenClawUpgrade(e), newOpenClawConfig(e))
	cmd.AddCommand(doctor, &cobra.Command{
		Use:   "exec -- ARG...",
		Short: "Run OpenClaw's own command line",
		Long: `Runs OpenClaw's own command line with the version, the folders and the variables
that the gateway runs with. It takes the place of creel: input, output, signals and
the exit code are its own. It loads code that the agent may have written, so it sees as
little of creel's keys, snapshots and records as the gateway (gateway.sandbox).`,
		Example: `  creel openclaw exec -- channels status
  creel openclaw exec -- agent --agent main --message "Good morning"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 0 || len(args) == 0 {
				return fmt.Errorf("put -- before OpenClaw's arguments: creel openclaw exec -- %s", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, call, err := e.openclawCall(configFile, args)
			if err != nil {
				return err
			}
			if err := daemon.ExecApart(cfg, call.Argv[0], call.Argv, call.Env); err != nil {
				return fmt.Errorf("cannot run OpenClaw's command line: %s: %w", call.Argv[0], err)
			}
			return nil
		},
	})
	return cmd
}

// openclawCall is the invocation of OpenClaw's command line on the data folder, and the
// configuration that it goes by.
func (e *env) openclawCall(configFile string, args []string) (*config.Config, openclaw.Invocation, error) {
	dir, err := e.folder()
	if err != nil {
		return nil, openclaw.Invocation{}, err
	}
	cfg, _, err := config.Load(config.LoadOptions{Path: configFile, Environ: e.environ, Flags: []config.Flag{
		{Name: "--data-dir", Key: "data_dir", Values: []string{dir}},
		{Name: "creel openclaw", Key: "gateway.preset", Values: []string{config.PresetOpenClaw}},
	}})
	if err != nil {
		return nil, openclaw.Invocation{}, err
	}
	layout, err := openclaw.LayoutIn(dir)
	if err != nil {
		return nil, openclaw.Invocation{}, err
	}
	version, err := openclaw.EffectiveVersion(layout, cfg.Gateway.Version)
	if err != nil {
		return nil, openclaw.Invocation{}, err
	}
	installer := openclaw.Installer{Layout: layout, Version: version}
	installation, err := installer.Find()
	if err != nil {
		return nil, openclaw.Invocation{}, err
	}
	environ, err := openclaw.WithDevVars(e.environ, cfg.Gateway.OpenClaw.DevVars)
	if err != nil {
		return nil, openclaw.Invocation{}, err
	}
	env := cfg.Gateway.Env
	if cfg.Providers.Proxy != config.ProvidersProxyOff {
		// OpenClaw's configuration has what it takes to use the models; the keys
		// themselves would be within reach of what runs in the gateway.
		given := environ
		for name, value := range env {
			given = append(slices.Clone(given), name+"="+value)
		}
		found := provider.Find(cfg.Providers, given)
		environ, env = found.Without(environ), found.WithoutIn(env)
	}
	call, err := openclaw.CLI(layout, installation, environ, env, args)
	return cfg, call, err
}

func (e *env) openclawDoctor(configFile string, fix bool) error {
	args := []string{"doctor", "--non-interactive"}
	if fix {
		if err := e.wantStopped(); err != nil {
			return err
		}
		args = append(args, "--fix", "--yes")
	}
	var errs []error
	for _, args := range [][]string{{"config", "validate"}, args} {
		cfg, call, err := e.openclawCall(configFile, args)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(e.ctx, call.Argv[0], call.Argv[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr = call.Env, e.plain, e.stderr
		if err := daemon.RunApart(cfg, cmd); err != nil {
			errs = append(errs, fmt.Errorf("openclaw %s: %w", strings.Join(args, " "), err))
		}
	}
	return errors.Join(errs...)
}

// wantStopped says no unless no instance of the gateway runs.
func (e *env) wantStopped() error {
	const first = "the gateway runs, and OpenClaw would change its state under it; first: creel stop"
	st, _, err := e.status("GET", "status")
	switch {
	case err == nil && st.PID == 0 && st.StopAsked:
		return nil
	case err == nil:
		return errors.New(first)
	case !errors.As(err, new(*unreachableError)):
		return err
	}
	dir, err := e.folder()
	if err != nil {
		return err
	}
	recorded, err := daemon.Recorded(dir)
	if err == nil && len(recorded) > 0 {
		err = errors.New("an instance of the gateway is on record, though no creel is running; first: creel up, then creel stop")
	}
	return err
}
