package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/provider"
)

func newProviders(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "providers",
		Short: "Show OpenClaw's model providers, and what was asked of them",
		Long: `creel holds the keys of model providers and adds them to what OpenClaw asks: no key
is in OpenClaw's environment or configuration. It takes them from its environment
(ANTHROPIC_API_KEY, OPENAI_API_KEY, OPENROUTER_API_KEY, and moltworker's variables)
or from where its configuration says that they are (providers.list). Those of the
kinds in providers.leave it leaves to OpenClaw.`,
		Example: `  creel providers
  creel providers usage --days 7
  creel providers usage --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return e.listProviders() },
	}
	cmd.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON")
	days := 1
	usageCmd := &cobra.Command{
		Use: "usage", Short: "Requests, tokens and errors, by day and model, and what is left of budgets", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if days < 1 {
				return usage("--days must be at least 1")
			}
			return e.providerUsage(days)
		},
	}
	usageCmd.Flags().IntVar(&days, "days", days, "how many days to show, today included")
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "List model providers", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return e.listProviders() },
	}, usageCmd)
	return cmd
}

// providerReport asks creel; text is the answer as it came.
func (e *env) providerReport() (report provider.Report, text []byte, err error) {
	body, err := e.call(http.MethodGet, "providers")
	if err != nil {
		return report, nil, err
	}
	defer body.Close()
	if text, err = io.ReadAll(body); err != nil {
		return report, nil, fmt.Errorf("cannot read creel's answer: %w", err)
	}
	if err = json.Unmarshal(text, &report); err != nil {
		return report, nil, fmt.Errorf("cannot understand creel's answer: %w", err)
	}
	return report, text, nil
}

func (e *env) listProviders() error {
	report, text, err := e.providerReport()
	if err != nil {
		return err
	}
	if e.json {
		return e.indent(text)
	}
	if report.Foreign {
		fmt.Fprintln(e.stderr, foreignSentence)
		return nil
	}
	for _, problem := range report.Problems {
		fmt.Fprintln(e.stderr, "warning:", problem)
	}
	if len(report.Left) > 0 {
		fmt.Fprintln(e.stderr, leftSentence(report.Left))
	}
	if len(report.Providers) == 0 {
		if len(report.Left) > 0 {
			return nil
		}
		fmt.Fprintln(e.stderr, "creel knows no model provider; give it a key in its environment, such as ANTHROPIC_API_KEY, or see docs/providers.md")
		return nil
	}
	if !report.Proxy {
		fmt.Fprintln(e.stderr, "providers.proxy is off: the gateway holds the keys itself, and nothing is counted")
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tKIND\tADDRESS\tKEY\tFROM\tSTATE")
	for _, p := range report.Providers {
		key := p.KeyFrom
		if key == "" {
			key = "none"
		}
		state := p.Problem
		if state == "" {
			state = "ok"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Kind, p.BaseURL, key, p.From, state)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if report.Model != "" {
		fmt.Fprintln(e.stdout, "default model:", report.Model)
	}
	return nil
}

func (e *env) providerUsage(days int) error {
	report, text, err := e.providerReport()
	if err != nil {
		return err
	}
	if e.json {
		return e.indent(text)
	}
	if report.Foreign {
		fmt.Fprintln(e.stderr, foreignSentence)
		return nil
	}
	first := time.Now().AddDate(0, 0, 1-days).Format("2006-01-02")
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DAY\tPROVIDER\tMODEL\tREQUESTS\tTOKENS IN\tTOKENS OUT\tFIRST BYTE\tERRORS")
	shown := 0
	for _, u := range report.Usage {
		if u.Day < first {
			continue
		}
		shown++
		var errs []string
		for _, class := range slices.SortedFunc(maps.Keys(u.Errors), cmp.Compare[string]) {
			errs = append(errs, fmt.Sprintf("%d %s", u.Errors[class], class))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", u.Day, u.Provider, dash(printable(u.Model)), u.Requests, u.InputTokens, u.OutputTokens,
			shortDuration(u.FirstByteMean()), dash(strings.Join(errs, ", ")))
	}
	if shown == 0 {
		fmt.Fprintln(e.stderr, "nothing was asked of model providers in that time")
	} else if err := w.Flush(); err != nil {
		return err
	}
	for _, b := range report.Budgets {
		fmt.Fprintf(e.stdout, "budget of %s:%s%s, anew at %s\n", b.Budget, left(b.UsedRequests, b.Requests, "requests"), left(b.UsedTokens, b.Tokens, "tokens"), b.Resets.Local().Format("2006-01-02 15:04"))
	}
	return nil
}

func left(used, limit int64, what string) string {
	if limit == 0 {
		return ""
	}
	return fmt.Sprintf(" %d of %d %s", used, limit, what)
}

func shortDuration(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(time.Millisecond).String()
}
