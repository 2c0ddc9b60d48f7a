package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"creel/internal/event"
)

func newEvents(e *env) *cobra.Command {
	var follow bool
	var tail int
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened to the gateway, and why",
		Example: `  creel events -n 20
  creel events -f --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			query := "events?tail=" + strconv.Itoa(tail)
			if follow {
				query += "&follow=1"
			}
			body, err := e.call(http.MethodGet, query)
			var away *unreachableError
			if errors.As(err, &away) && !follow {
				return e.eventsFromDisk(away, tail)
			}
			if err != nil {
				return err
			}
			defer body.Close()
			return e.printEvents(body)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events to come")
	cmd.Flags().IntVarP(&tail, "tail", "n", 100, "how many events back to begin")
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON lines")
	return cmd
}

func (e *env) printEvents(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if e.json {
			fmt.Fprintln(e.stdout, lines.Text())
			continue
		}
		var ev event.Event
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			return fmt.Errorf("cannot understand an event: %w", err)
		}
		e.printEvent(ev)
	}
	if err := lines.Err(); err != nil && e.ctx.Err() == nil {
		return fmt.Errorf("cannot read the events: %w", err)
	}
	return nil
}

func (e *env) printEvent(ev event.Event) {
	generation := ""
	if ev.Generation != 0 {
		generation = fmt.Sprintf(" #%d", ev.Generation)
	}
	fmt.Fprintf(e.stdout, "%s  %-14s%s  %s\n", ev.Time.Local().Format("2006-01-02 15:04:05.000"), ev.Kind, generation, ev.Message)
	if hint, ok := ev.Fields["hint"].(string); ok && hint != "" {
		fmt.Fprintf(e.stdout, "%25s%s\n", "", hint)
	}
}

// eventsFromDisk shows the journal of a daemon that does not run.
func (e *env) eventsFromDisk(away *unreachableError, tail int) error {
	list, err := event.Tail(filepath.Join(away.dataDir, "journal"), tail)
	if err != nil || len(list) == 0 {
		return away
	}
	fmt.Fprintln(e.stderr, "creel is not running; these are the events up to its end:")
	for _, ev := range list {
		if !e.json {
			e.printEvent(ev)
			continue
		}
		b, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, string(b))
	}
	return nil
}
