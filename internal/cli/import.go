package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/daemon"
	"creel/internal/moltworker"
	"creel/internal/openclaw"
	"creel/internal/snapshot/restore"
	"creel/internal/telemetry"
)

func newImport(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Bring in the state of another host of OpenClaw"}
	cmd.AddCommand(newImportMoltworker(e))
	return cmd
}

// moltworkerFlags are the flags of `creel import moltworker`.
type moltworkerFlags struct {
	bucket, endpoint, region, account string
	dir                               string
	layout, backup                    string
	dryRun                            bool
}

func newImportMoltworker(e *env) *cobra.Command {
	var f moltworkerFlags
	cmd := &cobra.Command{
		Use:   "moltworker (--bucket NAME [--account ID | --endpoint URL] | --dir DIR)",
		Short: "Bring in the state that moltworker has left in a bucket",
		Long: `Reads what moltworker has left in its bucket, in any of the four layouts that it
had, into a fresh home of OpenClaw in the data folder, and rewrites the paths of
its container. Nothing in the bucket is changed. The home must hold no files yet,
and no creel may run on the data folder.

The access key is read from R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, or else from
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a key that may only read is enough.`,
		Example: `  creel import moltworker --bucket moltbot-data --account ID --dry-run
  creel import moltworker --bucket moltbot-data --account ID
  creel up openclaw`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return e.importMoltworker(f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.bucket, "bucket", "", "`NAME` of the bucket (moltworker's default was moltbot-data)")
	flags.StringVar(&f.account, "account", "", "`ID` of the Cloudflare account of an R2 bucket (default: $CLOUDFLARE_ACCOUNT_ID, else $CF_ACCOUNT_ID)")
	flags.StringVar(&f.endpoint, "endpoint", "", "`URL` of another S3-compatible store")
	flags.StringVar(&f.region, "region", "auto", "`REGION` of the store")
	flags.StringVar(&f.dir, "dir", "", "`DIR` into which the bucket was downloaded, in place of the bucket")
	flags.StringVar(&f.layout, "layout", "", "`LAYOUT`: which state, if there are several: "+layoutNames())
	flags.StringVar(&f.backup, "backup", "", "`ID` of an image in the layout snapshot (default: the present one)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only say what would be brought in")
	flags.BoolVar(&e.json, "json", false, "print JSON")
	return cmd
}

func layoutNames() string {
	var names []string
	for _, l := range moltworker.Layouts {
		names = append(names, string(l))
	}
	return strings.Join(names, ", ")
}

func (e *env) importMoltworker(f moltworkerFlags) (err error) {
	bucket, err := e.moltworkerBucket(f)
	if err != nil {
		return err
	}
	if f.layout != "" && !slices.Contains(moltworker.Layouts, moltworker.Layout(f.layout)) {
		return usage("--layout %q is none of %s", f.layout, layoutNames())
	}
	dir, err := e.folder()
	if err != nil {
		return err
	}
	layout, err := openclaw.LayoutIn(dir)
	if err != nil {
		return err
	}
	if !f.dryRun {
		release, err := daemon.Occupy(dir)
		if inUse := (*daemon.InUseError)(nil); errors.As(err, &inUse) {
			return fmt.Errorf("cannot import while a creel runs on the data folder: %w", err)
		} else if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	shown := &importProgress{e: e}
	report, err := moltworker.Import(e.ctx, moltworker.Options{
		Bucket: bucket, Home: layout.Home(), Layout: moltworker.Layout(f.layout), Backup: f.backup,
		DryRun: f.dryRun, Progress: shown,
	})
	shown.end()
	if notEmpty := (*restore.NotEmptyError)(nil); errors.As(err, &notEmpty) {
		return usage("the home of OpenClaw %s holds state already (%s), which an import would overwrite; import into another data folder (--data-dir)", notEmpty.Dir, notEmpty.Found)
	}
	if several := (*moltworker.LayoutError)(nil); errors.As(err, &several) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	return e.printImport(report, f.dryRun)
}

// moltworkerBucket opens what the flags and the environment name.
func (e *env) moltworkerBucket(f moltworkerFlags) (moltworker.Bucket, error) {
	if (f.dir == "") == (f.bucket == "") {
		return nil, usage("name the bucket with --bucket, or a folder that it was downloaded to with --dir")
	}
	if f.dir != "" {
		return moltworker.Folder(f.dir), nil
	}
	first := func(names ...string) string {
		for _, name := range names {
			if v, _ := e.lookup(name); v != "" {
				return v
			}
		}
		return ""
	}
	if f.account == "" {
		f.account = first("CLOUDFLARE_ACCOUNT_ID", "CF_ACCOUNT_ID")
	}
	if f.endpoint == "" {
		if f.account == "" {
			return nil, usage("name the Cloudflare account of the bucket with --account, or another store with --endpoint")
		}
		f.endpoint = "https://" + f.account + ".r2.cloudflarestorage.com"
	}
	id, secret := first("R2_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"), first("R2_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		return nil, usage("set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY to an access key that may read the bucket")
	}
	bucket, err := moltworker.S3{Endpoint: f.endpoint, Region: f.region, Bucket: f.bucket, KeyID: id, Secret: telemetry.Secret(secret)}.Open()
	if err != nil {
		return nil, usageError{err}
	}
	return bucket, nil
}

func (e *env) printImport(r moltworker.Report, dryRun bool) error {
	if e.json {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	from := string(r.Layout)
	if r.Backup != "" {
		from += " " + r.Backup
	}
	verb := "Brought"
	if dryRun {
		verb = "Would bring"
		for _, f := range r.Files {
			fmt.Fprintf(e.stdout, "%12d  %s\n", f.Size, f.Path)
		}
	}
	fmt.Fprintf(e.stdout, "%s %d files, %d bytes (layout %s) into %s\n", verb, r.Totals.Files, r.Totals.Bytes, from, r.Home)
	for _, w := range r.Rewritten {
		if w.From == "" {
			fmt.Fprintf(e.stdout, "set        %s to %s\n", w.Where, w.To)
		} else {
			fmt.Fprintf(e.stdout, "rewritten  %s: %s, now %s\n", w.Where, w.From, w.To)
		}
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(e.stdout, "left out   %s: %s\n", s.Path, s.Reason)
	}
	for _, l := range r.Losses {
		fmt.Fprintf(e.stdout, "lost       %s of %s: %s\n", l.What, l.Path, l.Why)
	}
	for _, p := range r.Damaged {
		fmt.Fprintf(e.stdout, "damaged    %s: this database was copied while it was written to; OpenClaw may refuse it\n", p)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(e.stdout, "note      ", n)
	}
	if !dryRun {
		fmt.Fprintln(e.stderr, "Next: `creel up openclaw`. If OpenClaw refuses keys of the old configuration, its own `doctor` mends them.")
	}
	return nil
}

// importProgress shows on a terminal how far an import is, not more often than
// people can read.
type importProgress struct {
	e *env

	mu                       sync.Mutex
	files, bytes, all, total int64
	shown                    time.Time
	open                     bool
}

func (p *importProgress) Total(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all, p.total = files, bytes
}

func (p *importProgress) Done(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files, p.bytes = p.files+files, p.bytes+bytes
	if !isTerminal(p.e.stderr) || time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown, p.open = time.Now(), true
	fmt.Fprintf(p.e.stderr, "\r\x1b[K%d of %d files, %d of %d MiB", p.files, p.all, p.bytes>>20, p.total>>20)
}

func (p *importProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprintln(p.e.stderr)
	}
}
