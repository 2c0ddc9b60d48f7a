package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"creel/internal/config"
)

func newUp(e *env) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "up [openclaw]",
		Short: "Install OpenClaw if need be, and keep it alive",
		Long: `Installs OpenClaw and the Node.js that it needs into creel's data folder (with
the npm of this machine; nothing is installed globally), configures it if it is
not, starts it behind creel, and prints one link to click.

A second run uses what is installed. No provider key is needed to come up; the
Control UI takes one later, or pass it in the environment (ANTHROPIC_API_KEY,
OPENAI_API_KEY, …): creel keeps it from OpenClaw, and adds it to what OpenClaw asks
(see ` + "`creel providers`" + `).`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != config.PresetOpenClaw {
				return fmt.Errorf("creel up knows %q only; for any other server use: creel run -- COMMAND", config.PresetOpenClaw)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			// A configuration file may name another preset, or none with a
			// command, unless this one was asked for by name.
			if len(args) == 1 || s.configFile == "" && !e.has(config.FileVariable) {
				s.values = append(s.values, config.Flag{Name: "creel up", Key: "gateway.preset", Values: []string{config.PresetOpenClaw}})
			}
			return e.run(s)
		},
	}
	s.addTo(cmd)
	s.flag(cmd, "version", "gateway.version", "version of OpenClaw")
	return cmd
}

func (e *env) has(name string) bool {
	v, _ := e.lookup(name)
	return v != ""
}
