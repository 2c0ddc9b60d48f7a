package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/auth"
	"creel/internal/config"
)

func newLogin(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Print a link that signs you in",
		Long: `Prints a fresh link that signs one browser in as the owner. It works once, within
ten minutes. Whoever has it comes in: open it yourself, or hand it to somebody who
is to be an owner too.

The link begins with the address that creel listens on; if you reach creel by
another one, put that in its place.`,
		Example: `  creel login
  ssh claw.example.org creel login`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var answer api.Login
			raw, err := e.talk(http.MethodPost, "login", nil, &answer)
			if err != nil {
				return err
			}
			if e.json {
				return e.indent(raw)
			}
			fmt.Fprintln(e.stdout, answer.Link)
			if !answer.Expires.IsZero() {
				fmt.Fprintf(e.stderr, "It works once, until %s.\n", answer.Expires.Local().Format(time.TimeOnly))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON")
	return cmd
}

func newSessions(e *env) *cobra.Command {
	list := func(*cobra.Command, []string) error { return e.listSessions() }
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "Show who is signed in, and sign them out",
		Example: `  creel sessions list
  creel sessions revoke k3rb5xw2`,
		Args: cobra.NoArgs, RunE: list,
	}
	cmd.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON")
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List who is signed in, those seen last first", Args: cobra.NoArgs, RunE: list},
		&cobra.Command{
			Use: "revoke ID...", Short: "End sessions: their next request is a stranger's", Args: cobra.MinimumNArgs(1),
			Long: "Ends sessions. ID is what `creel sessions list` shows, or as much of its beginning as\nis needed to tell sessions apart. What a session has open is closed.",
			RunE: func(_ *cobra.Command, args []string) error { return e.revokeSessions(args) },
		},
	)
	return cmd
}

func (e *env) listSessions() error {
	var answer api.SessionList
	raw, err := e.talk(http.MethodGet, "sessions", nil, &answer)
	if err != nil {
		return err
	}
	if e.json {
		return e.indent(raw)
	}
	if len(answer.Sessions) == 0 {
		return e.sayNobody()
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tBY\tSCOPES\tSEEN\tAGE\tENDS IN\tADDRESS\tBROWSER")
	for _, s := range answer.Sessions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s ago\t%s\t%s\t%s\t%s\n", s.ID, printable(s.Name), s.Method, scopeWords(s.Scopes), ago(s.LastSeen), ago(s.Created), until(s.Expires), dash(s.Address), dash(printable(s.Agent)))
	}
	return w.Flush()
}

// sayNobody says that nobody is signed in, and whether anybody needs to be.
func (e *env) sayNobody() error {
	st, _, err := e.status(http.MethodGet, "status")
	if err != nil {
		return err
	}
	if openToAll(st) {
		fmt.Fprintln(e.stderr, "nobody has to sign in: whoever is on this machine is taken for the owner")
		return nil
	}
	fmt.Fprintln(e.stderr, "nobody is signed in; `creel login` prints a link")
	return nil
}

// openToAll tells whether nobody is asked who they are.
func openToAll(st *api.Status) bool { return slices.Equal(st.Creel.SignIn, []string{config.AuthNone}) }

func (e *env) revokeSessions(ids []string) error {
	var known api.SessionList
	if _, err := e.talk(http.MethodGet, "sessions", nil, &known); err != nil {
		return err
	}
	all := make([]string, len(known.Sessions))
	for i, s := range known.Sessions {
		all[i] = s.ID
	}
	return e.end(ending{"sessions/", "session", "ended", "creel sessions list"}, ids, all)
}

func newTokens(e *env) *cobra.Command {
	list := func(*cobra.Command, []string) error { return e.listTokens() }
	cmd := &cobra.Command{
		Use:   "tokens",
		Short: "Show, make and end API tokens, for programs",
		Long: `An API token lets a program in, as Authorization: Bearer creel_…, or as the
password in an address: https://x:creel_…@host/. It never reaches the gateway.

Scopes: read (creel's own pages), use (the gateway), operate (start, stop, restart,
snapshots, devices), admin (restore, files of snapshots, sessions, tokens).`,
		Example: `  creel tokens create prometheus --scope read --expires 8760h
  creel tokens list
  creel tokens revoke k3rb5xw2`,
		Args: cobra.NoArgs, RunE: list,
	}
	cmd.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON")
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List API tokens, the newest first", Args: cobra.NoArgs, RunE: list},
		newTokenCreate(e),
		&cobra.Command{
			Use: "revoke ID...", Short: "End API tokens, and close what they have open", Args: cobra.MinimumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				var known api.TokenList
				if _, err := e.talk(http.MethodGet, "tokens", nil, &known); err != nil {
					return err
				}
				all := make([]string, len(known.Tokens))
				for i, t := range known.Tokens {
					all[i] = t.ID
				}
				return e.end(ending{"tokens/", "token", "ended", "creel tokens list"}, args, all)
			},
		},
	)
	return cmd
}

func newTokenCreate(e *env) *cobra.Command {
	var scopes []string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an API token, and print it this once", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			asked := api.TokenRequest{Name: args[0]}
			for _, s := range scopes {
				if !slices.Contains(auth.OwnerScopes, auth.Scope(s)) {
					return usage("--scope %q is none of %s", s, scopeWords(auth.OwnerScopes))
				}
				asked.Scopes = append(asked.Scopes, auth.Scope(s))
			}
			if expires < 0 {
				return usage("--expires must not be negative")
			}
			if expires > 0 {
				asked.Expires = time.Now().Add(expires).UTC().Truncate(time.Second)
			}
			var made api.NewToken
			raw, err := e.talk(http.MethodPost, "tokens", asked, &made)
			if err != nil {
				return err
			}
			if e.json {
				return e.indent(raw)
			}
			fmt.Fprintln(e.stdout, made.Secret)
			fmt.Fprintf(e.stderr, "Keep it: it is not shown again. Its id is %s.\n", made.Token.ID)
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&scopes, "scope", []string{string(auth.Read)}, "what it may do: read, use, operate, admin; may be given again")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is good, such as 720h (default: until it is revoked)")
	return cmd
}

func (e *env) listTokens() error {
	var answer api.TokenList
	raw, err := e.talk(http.MethodGet, "tokens", nil, &answer)
	if err != nil {
		return err
	}
	if e.json {
		return e.indent(raw)
	}
	if len(answer.Tokens) == 0 {
		fmt.Fprintln(e.stderr, "there are no API tokens; make one with `creel tokens create NAME`")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSCOPES\tAGE\tUSED\tENDS IN")
	for _, t := range answer.Tokens {
		used := "never"
		if !t.LastUsed.IsZero() {
			used = ago(t.LastUsed) + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, printable(t.Name), scopeWords(t.Scopes), ago(t.Created), used, until(t.Expires))
	}
	return w.Flush()
}

// ending is how something is ended: by deleting what is under a path.
type ending struct{ path, what, done, list string }

// end ends what the ids, or their beginnings, mean.
func (e *env) end(how ending, ids, all []string) error {
	for _, given := range ids {
		var found []string
		for _, id := range all {
			if strings.HasPrefix(id, given) && given != "" {
				found = append(found, id)
			}
		}
		switch len(found) {
		case 0:
			return fmt.Errorf("there is no %s %q; see `%s`", how.what, given, how.list)
		case 1:
		default:
			return fmt.Errorf("%q is the beginning of %d %ss; give more of it", given, len(found), how.what)
		}
		if _, err := e.talk(http.MethodDelete, how.path+found[0], nil, nil); err != nil {
			return err
		}
		if !e.json {
			fmt.Fprintf(e.stdout, "%s %s %s\n", how.done, how.what, found[0])
		}
	}
	return nil
}

// talk asks the daemon, with a body if there is one to send, and reads the answer
// into what answer points to.
func (e *env) talk(method, what string, body, answer any) ([]byte, error) {
	dir, err := e.folder()
	if err != nil {
		return nil, err
	}
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(e.ctx, method, api.ControlURL(what), sent)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := e.do(dir, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, problemOf(resp)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("cannot read creel's answer: %w", err)
	}
	if answer != nil {
		if err := json.Unmarshal(b, answer); err != nil {
			return nil, fmt.Errorf("cannot understand creel's answer: %w", err)
		}
	}
	return b, nil
}

func scopeWords(scopes []auth.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, ",")
}

// until is how long something is still good.
func until(t time.Time) string {
	switch d := time.Until(t); {
	case t.IsZero():
		return "never"
	case d <= 0:
		return "ended"
	case d > 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	default:
		return d.Round(time.Minute).String()
	}
}
