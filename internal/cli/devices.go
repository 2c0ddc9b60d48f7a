package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/openclaw"
)

func newDevices(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "Show who may use OpenClaw, and let devices in",
		Long: `A browser or phone that knows OpenClaw's token and is not on this machine has to be
let in once. It waits ("pairing required") until somebody does, and gets in by
itself then.

ID is what ` + "`creel devices list`" + ` shows, or as much of its beginning as is needed to
tell devices apart (four digits at least).`,
		Example: `  creel devices list
  creel devices approve 2bae2dff
  creel devices rename 2bae2dff "Anna's laptop"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.devices(http.MethodGet, "", nil, "") },
	}
	cmd.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON")
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List devices, those that wait first", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return e.devices(http.MethodGet, "", nil, "") },
		},
		&cobra.Command{
			Use: "approve-all", Short: "Let all devices in that wait", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				return e.devices(http.MethodPost, "/approve-all", nil, "let in")
			},
		},
		e.deviceAct("approve ID", "Let a device in that waits", "let in"),
		e.deviceAct("reject ID", "Turn a device away that waits; it may ask again", "turned away"),
		e.deviceAct("revoke ID", "Shut out a device that was let in; it has to be let in again", "shut out"),
		&cobra.Command{
			Use: "rename ID LABEL", Short: "Give a device a name of your own", Args: cobra.ExactArgs(2),
			RunE: func(_ *cobra.Command, args []string) error {
				return e.devices(http.MethodPost, "/rename", url.Values{"id": args[:1], "label": args[1:]}, "renamed")
			},
		},
	)
	return cmd
}

func (e *env) deviceAct(use, short, done string) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return e.devices(http.MethodPost, "/"+verb, url.Values{"id": args}, done)
		},
	}
}

// devices asks for devices, or for something to be done with them; done says what,
// in the past; "": they are listed.
func (e *env) devices(method, path string, query url.Values, done string) error {
	what := "devices" + path
	if query != nil {
		what += "?" + query.Encode()
	}
	body, err := e.call(method, what)
	if err != nil {
		return err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("cannot read creel's answer: %w", err)
	}
	if e.json {
		return e.indent(b)
	}
	var answer api.DeviceList
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("cannot understand creel's answer: %w", err)
	}
	if done == "" {
		return e.printDevices(answer.Devices)
	}
	for _, d := range answer.Devices {
		fmt.Fprintf(e.stdout, "%s %s (%s)\n", done, printable(d.Title()), shortID(d))
	}
	if len(answer.Devices) == 0 {
		fmt.Fprintln(e.stderr, "no device waits")
	}
	return nil
}

func (e *env) printDevices(list []openclaw.Device) error {
	if len(list) == 0 {
		fmt.Fprintln(e.stderr, "no device has asked to be let in; devices on this machine need not")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tID\tNAME\tPLATFORM\tADDRESS\tAGE\tSEEN\tSCOPES")
	for _, d := range list {
		age, seen := "", ""
		if !d.Since.IsZero() {
			age = ago(d.Since)
		}
		switch {
		case d.Connected:
			seen = "now"
		case !d.LastSeen.IsZero():
			seen = ago(d.LastSeen) + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.State, shortID(d), dash(printable(d.Title())), dash(printable(d.Platform)), dash(d.Address), dash(age), dash(seen), dash(shortScopes(d.Scopes)))
	}
	return w.Flush()
}

func shortID(d openclaw.Device) string {
	const shown = 12 // of 64 digits: enough for every list
	return d.ID[:min(len(d.ID), shown)]
}

// shortScopes leaves out what all have in common.
func shortScopes(scopes []string) string {
	short := make([]string, len(scopes))
	for i, s := range scopes {
		short[i] = strings.TrimPrefix(s, "operator.")
	}
	return strings.Join(short, ",")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable keeps what a device calls itself from moving the cursor: it is a
// stranger's choice.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
