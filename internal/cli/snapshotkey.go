package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"creel/internal/daemon"
	"creel/internal/snapshot/store"
)

func newSnapshotKey(e *env) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "key", Short: "Export or import the key that snapshots are encrypted with", Args: cobra.NoArgs,
		Long: `All snapshots are encrypted with one key, which lies in creel's data folder. Without
it they are lost, and nobody can bring them back: keep a copy of it somewhere else.
Another machine that is to use the same store needs the same key.`,
		Example: `  creel snapshot key export > creel.key
  creel snapshot key import < creel.key`,
	}
	path := func() (string, error) {
		if file != "" {
			return file, nil
		}
		dir, err := e.folder()
		return daemon.SnapshotKeyPath(dir), err
	}
	cmd.PersistentFlags().StringVar(&file, "file", "", "the key file, if it is not in the data folder (snapshots.store.key)")
	cmd.AddCommand(
		&cobra.Command{
			Use: "export", Short: "Print the key", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				at, err := path()
				if err != nil {
					return err
				}
				text, err := store.ExportKey(at)
				if err != nil {
					return err
				}
				_, err = io.WriteString(e.stdout, text.Reveal())
				return err
			},
		},
		&cobra.Command{
			Use: "import", Short: "Read a key from standard input", Args: cobra.NoArgs,
			Long: "Reads what `creel snapshot key export` has printed and keeps it. A key that is there\nalready is never replaced.",
			RunE: func(*cobra.Command, []string) error {
				at, err := path()
				if err != nil {
					return err
				}
				const most = 64 << 10
				text, err := io.ReadAll(io.LimitReader(os.Stdin, most))
				if err != nil {
					return fmt.Errorf("cannot read the key from standard input: %w", err)
				}
				if err := store.ImportKey(at, string(text)); err != nil {
					return err
				}
				fmt.Fprintln(e.stdout, "the key is in", at)
				return nil
			},
		},
	)
	return cmd
}
