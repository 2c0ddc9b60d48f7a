package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/snapshot/tree"
)

func newSnapshotLs(e *env) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "ls ID [PATH]", Short: "List files of a snapshot", Args: cobra.RangeArgs(1, 2),
		Long: "Lists what is at PATH (default: the state folder itself). Of a gateway with several state\nfolders, paths begin with a folder's name.",
		RunE: func(_ *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) > 1 {
				q.Set("path", args[1])
			}
			if all {
				q.Set("all", "1")
			}
			w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
			err := e.lines("snapshots/"+url.PathEscape(args[0])+"/files?"+q.Encode(), func(b []byte) error {
				if e.json {
					_, err := e.stdout.Write(b)
					return err
				}
				var f api.FileEntry
				if err := json.Unmarshal(b, &f); err != nil {
					return err
				}
				name := f.Path
				switch f.Kind {
				case tree.Dir:
					name += "/"
				case tree.Symlink:
					name += " -> " + f.Target
				case tree.FIFO:
					name += "|"
				case tree.File:
				}
				fmt.Fprintf(w, "%s\t%d:%d\t%s\t%s\t%s\n", f.Mode, f.UID, f.GID, size(f.Size), f.ModTime.Local().Format(time.DateTime), name)
				return nil
			})
			return errors.Join(err, w.Flush())
		},
	}
	cmd.Flags().BoolVarP(&all, "recursive", "R", false, "list what is in its folders, too")
	return cmd
}

func newSnapshotCat(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "cat ID PATH", Short: "Print a file of a snapshot", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			body, err := e.call(http.MethodGet, "snapshots/"+url.PathEscape(args[0])+"/content?"+url.Values{"path": args[1:]}.Encode())
			if err != nil {
				return err
			}
			defer body.Close()
			if _, err := io.Copy(e.stdout, body); err != nil {
				return fmt.Errorf("cannot read all of %s: %w", args[1], err)
			}
			return nil
		},
	}
}

func newSnapshotDiff(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "diff ID ID", Short: "Show what is different in the second snapshot", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			marks := map[tree.Change]string{tree.Added: "+", tree.Removed: "-", tree.Changed: "~"}
			w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
			err := e.lines("snapshots/"+url.PathEscape(args[0])+"/diff?"+url.Values{"to": args[1:]}.Encode(), func(b []byte) error {
				if e.json {
					_, err := e.stdout.Write(b)
					return err
				}
				var c api.FileChange
				if err := json.Unmarshal(b, &c); err != nil {
					return err
				}
				what := size(c.Is)
				switch c.Change {
				case tree.Removed:
					what = size(c.Was)
				case tree.Changed:
					what = fmt.Sprint(c.Aspects)
				case tree.Added:
				}
				fmt.Fprintf(w, "%s %s\t%s\n", marks[c.Change], c.Path, what)
				return nil
			})
			return errors.Join(err, w.Flush())
		},
	}
}

// lines gives each line of an answer, with its end.
func (e *env) lines(what string, each func(b []byte) error) error {
	body, err := e.call(http.MethodGet, what)
	if err != nil {
		return err
	}
	defer body.Close()
	r := bufio.NewReader(body)
	for {
		b, err := r.ReadBytes('\n')
		if len(b) > 0 {
			if err := each(b); err != nil {
				return fmt.Errorf("cannot understand creel's answer: %w", err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read all of creel's answer: %w", err)
		}
	}
}
