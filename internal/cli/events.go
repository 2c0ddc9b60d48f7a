package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/event"
	"creel/internal/telemetry"
)

func newEvents(e *env) *cobra.Command {
	var follow bool
	var tail int
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened to the gateway, and why",
		Long: `Shows what happened to the gateway, and why: when, by the clock of this machine; what;
to which instance; and what is known of it, with sizes and durations rounded. On a
terminal it is coloured, unless NO_COLOR is set. --json gives each event as it is kept:
times in UTC, bytes, all fields.`,
		Example: `  creel events -n 20
  creel events -f --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if tail < 0 {
				return usage("-n must not be negative")
			}
			err := e.showEvents(tail, follow)
			var away *unreachableError
			if errors.As(err, &away) && !follow {
				return e.eventsFromDisk(away, tail)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events to come")
	cmd.Flags().IntVarP(&tail, "tail", "n", 100, "how many events back to begin")
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON lines")
	return cmd
}

// mostEvents is how many events the daemon tells of in one answer.
const mostEvents = 1000

// showEvents shows the last n events, and with follow those to come.
func (e *env) showEvents(n int, follow bool) error {
	query := "events?tail=" + strconv.Itoa(n)
	if n > mostEvents {
		last, err := e.showMany(n)
		if err != nil || !follow {
			return err
		}
		query = "events?after=" + strconv.FormatUint(last, 10)
	}
	if follow {
		query += "&follow=1"
	}
	body, err := e.call(http.MethodGet, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return e.printEvents(body, follow)
}

// showMany shows more events than one answer has, and gives the number of the last.
func (e *env) showMany(n int) (last uint64, err error) {
	var parts [][]event.Event // the newest first
	query := ""
	for n > 0 {
		var part api.EventList
		body, err := e.callFor("application/json", http.MethodGet, "events?limit="+strconv.Itoa(min(n, mostEvents))+query)
		if err != nil {
			return 0, err
		}
		err = json.NewDecoder(body).Decode(&part)
		if err = errors.Join(err, body.Close()); err != nil {
			return 0, fmt.Errorf("cannot read the events: %w", err)
		}
		if len(part.Events) == 0 {
			break
		}
		parts = append(parts, part.Events)
		if n -= len(part.Events); !part.More {
			break
		}
		query = "&before=" + strconv.FormatUint(part.Events[0].Seq, 10)
	}
	slices.Reverse(parts)
	list := slices.Concat(parts...)
	if len(list) > 0 {
		last = list[len(list)-1].Seq
	}
	return last, e.showList(list)
}

// showList prints events in the form that was asked for.
func (e *env) showList(list []event.Event) error {
	table := e.eventTable()
	table.fit(list...)
	for _, ev := range list {
		if err := e.showEvent(table, ev); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) eventTable() *eventTable {
	return &eventTable{out: e.stdout, colour: telemetry.WantsColour(e.plain, e.lookup)}
}

func (e *env) showEvent(table *eventTable, ev event.Event) error {
	if !e.json {
		return table.print(ev)
	}
	b, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("cannot print an event: %w", err)
	}
	_, err = fmt.Fprintln(e.stdout, string(b))
	return err
}

// printEvents prints events as they come; if they have an end, all at once then.
func (e *env) printEvents(r io.Reader, follow bool) error {
	table := e.eventTable()
	table.kind = usualKind
	var list []event.Event
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if e.json {
			if _, err := fmt.Fprintln(e.stdout, lines.Text()); err != nil {
				return err
			}
			continue
		}
		var ev event.Event
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			return fmt.Errorf("cannot understand an event: %w", err)
		}
		if !follow {
			list = append(list, ev)
			continue
		}
		if err := table.print(ev); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && e.ctx.Err() == nil {
		return errors.Join(e.showList(list), fmt.Errorf("cannot read the events: %w", err))
	}
	return e.showList(list)
}

// usualKind is how wide most kinds are.
const usualKind = len("snapshot_taken")

// eventsFromDisk shows the journal of a daemon that does not run, as far as it can be
// read.
func (e *env) eventsFromDisk(away *unreachableError, tail int) error {
	list, err := event.Tail(filepath.Join(away.dataDir, "journal"), tail)
	if len(list) == 0 {
		return errors.Join(away, err)
	}
	if err != nil {
		fmt.Fprintln(e.stderr, "warning:", err)
	}
	fmt.Fprintf(e.stderr, "%s; these are the events up to its end:\n", away.away())
	return e.showList(list)
}
