package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"creel/internal/daemon"
	"creel/internal/snapshot/store"
	"creel/internal/telemetry"
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
	cmd.PersistentFlags().StringVar(&file, "file", "", "the key `FILE`, if it is not in the data folder (snapshots.store.key)")
	cmd.AddCommand(
		&cobra.Command{
			Use: "export", Short: "Print the key", Args: cobra.NoArgs,
			Long: "Prints the key. If there is none yet, as before the first snapshot, it is made: the\nsnapshots to come are encrypted with it.",
			RunE: func(*cobra.Command, []string) error {
				at, err := path()
				if err != nil {
					return err
				}
				text, err := e.exportKey(at)
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

// exportKey gives the text of the key file at a path, and makes it if there is none
// and nothing that is here wants another.
func (e *env) exportKey(at string) (telemetry.Secret, error) {
	text, err := store.ExportKey(at)
	if !errors.Is(err, store.ErrNoKey) {
		return text, err
	}
	dir := filepath.Dir(at)
	if filepath.Base(dir) == "private" { // of a data folder, which a mistyped path must not become
		dir = filepath.Dir(dir)
	}
	info, missing := os.Stat(dir)
	if missing != nil {
		return "", fmt.Errorf("%w, and %s is no data folder; name it with --data-dir, or start creel once", err, dir)
	}
	if old := filepath.Join(dir, "snapshots"); store.IsRepository(old) {
		return "", fmt.Errorf("%w, but there are snapshots in %s, which want the one that they were made with: bring it back with `creel snapshot key import`", err, old)
	}
	text, made, err := store.MakeKey(at)
	if err != nil || !made {
		return text, err
	}
	// Whoever exports it as root does not always run creel as root.
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		for _, path := range []string{filepath.Dir(at), at} {
			if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
				return "", fmt.Errorf("cannot give the key to the owner of %s: %w", dir, err)
			}
		}
	}
	fmt.Fprintf(e.stderr, "creel: there was no key yet, and this one was made. If the store holds snapshots of another machine already, remove %s and import the key of that machine\n", at)
	return text, nil
}
