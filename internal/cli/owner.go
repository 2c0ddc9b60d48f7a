package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"creel/internal/api"
	"creel/internal/auth"
)

func newOwner(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owner",
		Short: "Set how the owner signs in: a password, passkeys",
		Long: `Beside the links that ` + "`creel login`" + ` prints, a password and passkeys sign the owner in.
Passkeys are registered in a browser, on the page Settings.`,
		Example: `  creel owner password set
  creel owner passkeys list
  creel owner passkeys remove k3rb5xw2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON")
	cmd.AddCommand(newOwnerPassword(e), newOwnerPasskeys(e))
	return cmd
}

func newOwnerPassword(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "password", Short: "Show whether there is a password, set it, remove it", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var p auth.Password
			raw, err := e.talk(http.MethodGet, "owner/password", nil, &p)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			_, err = fmt.Fprintln(e.stdout, passwordWords(p))
			return err
		},
	}
	var stdin bool
	set := &cobra.Command{
		Use: "set", Short: "Set the password, or another one",
		Long: `Asks for the password, which the terminal does not show, and sets it; with --stdin it is
the first line of standard input. It is never an argument, where others could see it.

Whoever was signed in by an older password is signed out, in every browser; sessions that
a link or a passkey has begun, and API tokens, stay.`,
		Example: `  creel owner password set
  pass show creel | creel owner password set --stdin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 { // it is not said again
				return errors.New("a password is no argument, where others can see it: leave it out, and you are asked for it")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return e.setPassword(os.Stdin, stdin) },
	}
	set.Flags().BoolVar(&stdin, "stdin", false, "read the password from standard input, one line")
	cmd.AddCommand(set, &cobra.Command{
		Use: "remove", Short: "Remove the password: whoever it has signed in is signed out", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			raw, err := e.talk(http.MethodDelete, "owner/password", nil, new(auth.Password))
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			_, err = fmt.Fprintln(e.stdout, "the password was removed; `creel login` prints a link that signs in")
			return err
		},
	})
	return cmd
}

// passwordWords says whether there is a password, and where.
func passwordWords(p auth.Password) string {
	switch {
	case p.File:
		return "the password is that of auth.password.file, and is changed there"
	case p.Set:
		return "a password is set, since " + p.Since.Local().Format(time.DateTime)
	}
	return "no password is set; `creel owner password set` sets one"
}

func (e *env) setPassword(in *os.File, stdin bool) error {
	text, err := e.newPassword(in, stdin)
	if err != nil {
		return err
	}
	var p auth.Password
	raw, err := e.talk(http.MethodPut, "owner/password", api.PasswordRequest{Password: text}, &p)
	if err != nil || e.json {
		return e.orIndent(raw, err)
	}
	_, err = fmt.Fprintln(e.stdout, "the password is set; whoever was signed in by an older one is signed out")
	return err
}

// newPassword reads a new password: twice from a terminal, which does not show it, or
// once from what else standard input is.
func (e *env) newPassword(in *os.File, stdin bool) (string, error) {
	terminal := term.IsTerminal(int(in.Fd()))
	switch {
	case !terminal && !stdin:
		return "", usage("standard input is no terminal: with --stdin the password is read from it all the same")
	case !terminal:
		text, err := e.readPassword(in)
		if err != nil {
			return "", fmt.Errorf("cannot read the password: %w", err)
		}
		return text, nil
	}
	first, err := e.promptPassword(in, "New password: ")
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	again, err := e.promptPassword(in, "Once more: ")
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	if first != again {
		return "", errors.New("the two passwords are not the same; nothing was changed: give the same one twice")
	}
	return first, nil
}

func newOwnerPasskeys(e *env) *cobra.Command {
	list := func(*cobra.Command, []string) error { return e.listPasskeys() }
	cmd := &cobra.Command{Use: "passkeys", Short: "Show the owner's passkeys, and remove them", Args: cobra.NoArgs, RunE: list}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List passkeys, the oldest first", Args: cobra.NoArgs, RunE: list},
		&cobra.Command{
			Use: "remove ID...", Short: "Remove passkeys: they sign nobody in any more", Args: cobra.MinimumNArgs(1),
			Long: `Removes passkeys: they sign nobody in any more. Sessions that they have begun stay; see
creel sessions. ID is what "creel owner passkeys list" shows, or as much of its beginning
as is needed to tell passkeys apart.`,
			RunE: func(_ *cobra.Command, args []string) error {
				var known api.PasskeyList
				if _, err := e.talk(http.MethodGet, "owner/passkeys", nil, &known); err != nil {
					return err
				}
				all := make([]string, len(known.Passkeys))
				for i, k := range known.Passkeys {
					all[i] = k.ID
				}
				return e.end(ending{"owner/passkeys/", "passkey", "removed", "creel owner passkeys list"}, args, all)
			},
		},
	)
	return cmd
}

func (e *env) listPasskeys() error {
	var answer api.PasskeyList
	raw, err := e.talk(http.MethodGet, "owner/passkeys", nil, &answer)
	if err != nil || e.json {
		return e.orIndent(raw, err)
	}
	if len(answer.Passkeys) == 0 {
		next := "register one in a browser, on the page Settings"
		if answer.Host == "" {
			next = "they come with auth.passkeys.host: see docs/auth.md"
		}
		fmt.Fprintln(e.stderr, "there are no passkeys; "+next)
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tAGE\tUSED")
	for _, k := range answer.Passkeys {
		used := "never"
		if !k.LastUsed.IsZero() {
			used = ago(k.LastUsed) + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, printable(k.Name), ago(k.Created), used)
	}
	return w.Flush()
}
