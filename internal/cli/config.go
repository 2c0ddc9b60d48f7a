package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"creel/internal/config"
)

func newConfig(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Check, show and describe the configuration",
		Example: `  creel config check creel.yaml
  creel config show creel.yaml
  CREEL_GATEWAY_PRESET=openclaw creel config show     what creel up goes by`,
	}
	cmd.AddCommand(newConfigCheck(e), newConfigShow(e), newConfigSchema(e))
	return cmd
}

func newConfigCheck(e *env) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Say everything that is wrong with the configuration", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, _, err := e.loadFile(file, args)
			if err != nil {
				return err
			}
			for _, w := range cfg.Warnings() {
				fmt.Fprintln(e.stderr, "warning:", w)
			}
			fmt.Fprintln(e.stdout, "The configuration is fine.")
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE` (default: $CREEL_CONFIG, else none)")
	return cmd
}

func newConfigShow(e *env) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "show [FILE]", Short: "Show the configuration in force, and where each value comes from", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, sources, err := e.loadFile(file, args)
			if err != nil {
				return err
			}
			render := config.Render
			if e.json {
				render = config.RenderJSON
			}
			b, err := render(cfg, sources)
			if err != nil {
				return err
			}
			_, err = e.stdout.Write(b)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE` (default: $CREEL_CONFIG, else none)")
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON")
	return cmd
}

func newConfigSchema(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration file", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := e.stdout.Write(config.Schema())
			return err
		},
	}
}

func (e *env) loadFile(file string, args []string) (*config.Config, *config.Sources, error) {
	if len(args) == 1 {
		file = args[0]
	}
	var flags []config.Flag
	if e.dataDir != "" {
		flags = append(flags, config.Flag{Name: "--data-dir", Key: "data_dir", Values: []string{e.dataDir}})
	}
	return config.Load(config.LoadOptions{Path: file, Environ: e.environ, Flags: flags})
}
