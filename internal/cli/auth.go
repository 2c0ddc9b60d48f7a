package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"creel/internal/auth"
)

func newAuth(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Help with setting up who may come in",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "hash-password",
		Short: "Hash a password for auth.password.file",
		Long: `Reads a password from standard input, one line, and prints its hash (argon2id). Put
that into a file that only you can read, and name the file in auth.password.file.`,
		Example: `  creel auth hash-password > ~/creel-password && chmod 600 ~/creel-password`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return e.hashPassword(os.Stdin) },
	})
	return cmd
}

func (e *env) hashPassword(in *os.File) error {
	password, err := e.readPassword(in)
	if err != nil {
		return fmt.Errorf("cannot read the password: %w", err)
	}
	line, err := auth.HashPassword(password)
	if errors.Is(err, auth.ErrInvalid) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, line)
	return err
}

// readPassword reads a line, which a terminal does not show.
func (e *env) readPassword(in *os.File) (string, error) {
	if term.IsTerminal(int(in.Fd())) {
		return e.promptPassword(in, "Password: ")
	}
	line, err := bufio.NewReader(io.LimitReader(in, 64<<10)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// promptPassword asks at a terminal, until there is an answer or a SIGINT.
func (e *env) promptPassword(in *os.File, prompt string) (string, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	fmt.Fprint(e.stderr, prompt)
	go func() { // a read from a terminal cannot be called off: it ends with a line, or with this process
		text, err := term.ReadPassword(fd)
		answered <- answer{text, err}
	}()
	defer fmt.Fprintln(e.stderr)
	select {
	case a := <-answered:
		return string(a.text), a.err
	case <-e.ctx.Done():
		return "", errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
}
