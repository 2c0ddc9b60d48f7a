package daemon

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
	"creel/internal/telemetry"
)

// SnapshotKeyPath is where the key of a data folder's snapshots is kept unless
// the configuration says otherwise.
func SnapshotKeyPath(dataDir string) string {
	return filepath.Join(privateDir(dataDir), "snapshot.key")
}

// privateDir is the part of a data folder that no gateway may look into.
func privateDir(dataDir string) string { return filepath.Join(dataDir, "private") }

// finishTime bounds the last snapshot when creel stops. With the drain and the
// grace it stays under the time that systemd allows for stopping a service.
const finishTime = 30 * time.Second

// keeper looks after the state of an engine's gateway; nil: nobody does.
type keeper struct {
	*snapshot.Keeper
	stop context.CancelFunc
	done chan struct{}
}

// newKeeper makes the keeper of the gateway's state; nil: it keeps none, or none
// is to be saved.
func (e *engine) newKeeper() (*keeper, error) {
	cfg := e.d.cfg()
	roots := stateRoots(e.d.app.state(cfg.Gateway))
	if len(roots) == 0 || cfg.Snapshots.Mode == config.SnapshotsOff {
		return nil, nil
	}
	dir := gatewayDir(cfg)
	where, open, err := storeOf(cfg, dir, e.d.log)
	if err != nil {
		return nil, err
	}
	if e.owner, err = e.newOwnership(ledgerOf(cfg)); err != nil {
		return nil, err
	}
	k, err := snapshot.New(snapshot.Options{
		Gateway: cfg.Gateway.Name, Dir: dir, Roots: roots, Exclude: ownFolders(cfg, roots), Ignore: append(e.d.app.notState(), cfg.Snapshots.Exclude...),
		OpenStore: open, Where: where, Supervisor: late{e}, Lease: e.owner.asLease(),
		App: func() (string, string) { return e.d.appVersion(), config.Hash(e.d.cfg().Gateway) }, Trouble: e.d.snapshotTrouble,
		Manual: cfg.Snapshots.Mode == config.SnapshotsManual, NoRestore: cfg.Snapshots.Restore == config.RestoreNever,
		Settings: keeping(cfg), Freeze: snapshot.Freeze{Budget: cfg.Snapshots.Freeze, Max: cfg.Snapshots.FreezeMax},
		Journal: e.journal, Recorder: e.d.metrics, Logger: e.d.log,
	})
	if err != nil {
		return nil, err
	}
	return &keeper{Keeper: k}, nil
}

// keeping is what a configuration says of snapshots that may change at any time.
func keeping(cfg *config.Config) snapshot.Settings {
	s := &cfg.Snapshots
	return snapshot.Settings{
		Schedule: snapshot.Schedule{Settle: s.Settle, Every: s.Every, Apart: min(s.Every, time.Minute)},
		Keep:     snapshot.Keep{Last: s.Keep.Last, Hourly: s.Keep.Hourly, Daily: s.Keep.Daily, Weekly: s.Keep.Weekly, Monthly: s.Keep.Monthly},
		ShrinkTo: 1 - float64(s.ShrinkAlarm)/100, OldFor: s.OldState,
	}
}

// stateRoots names folders by their last part, so that a snapshot can be put in
// place where the folders lie elsewhere.
func stateRoots(dirs []string) []store.Root {
	var roots []store.Root
	for _, dir := range dirs {
		base := filepath.Base(dir)
		name := base
		for n := 2; slices.ContainsFunc(roots, func(r store.Root) bool { return r.Name == name }); n++ {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		roots = append(roots, store.Root{Name: name, Path: dir})
	}
	return roots
}

// ownFolders are creel's own folders in a state folder: none, as a rule.
func ownFolders(cfg *config.Config, roots []store.Root) []string {
	var own []string
	for _, r := range roots {
		if !within(r.Path, cfg.DataDir) {
			own = append(own, cfg.DataDir)
			break
		}
	}
	if s := cfg.Snapshots.Store; s.Kind == config.StoreFolder && s.Path != "" {
		own = append(own, s.Path)
	}
	return own
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// late is an engine's supervisor, which is made after the keeper.
type late struct{ e *engine }

func (l late) Looked(ctx context.Context) error { return l.e.gateway.Looked(ctx) }
func (l late) Still(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	return l.e.gateway.Still(ctx, do)
}
func (l late) Restart(ctx context.Context) error { return l.e.gateway.Restart(ctx) }
func (l late) Status() gateway.Status            { return l.e.gateway.Status() }
func (l late) WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error) {
	return l.e.gateway.WaitFor(ctx, holds)
}

// asKeeper is the keeper for the supervisor; nil if there is none.
func (k *keeper) asKeeper() gateway.Keeper {
	if k == nil {
		return nil
	}
	return k.Keeper
}

// asSnapshots is the keeper for the API; nil if there is none.
func (k *keeper) asSnapshots() api.Snapshots {
	if k == nil {
		return nil
	}
	return k.Keeper
}

// run begins to take snapshots.
func (k *keeper) run() {
	if k == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	k.stop, k.done = stop, make(chan struct{})
	go func() { // ends with halt
		defer close(k.done)
		k.Keeper.Run(ctx)
	}()
}

// halt ends what run has begun, and what others have asked for. The supervisor may
// still prepare launches.
func (k *keeper) halt(log *slog.Logger) {
	if k == nil {
		return
	}
	if k.stop != nil {
		k.stop()
		<-k.done
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := k.Keeper.Halt(ctx); err != nil {
		log.Warn("it is not waited for any longer", "error", err)
	}
}

// troubles says of each trouble of a keeper how bad it is and what can be done.
var troubles = map[snapshot.Trouble]struct {
	severity health.Severity
	hint     string
}{
	snapshot.TroubleMissing: {health.Trouble, "see `creel status` for the way out"},
	snapshot.TroubleRecord:  {health.Trouble, "see `creel status` for the way out"},
	snapshot.TroubleRestore: {health.Warning, "see `creel snapshot list`, and ask again; the state is the one of before"},
	snapshot.TroubleStore:   {health.Trouble, "mend what it says; it is tried again by itself, and the gateway goes on meanwhile"},
	snapshot.TroubleSave:    {health.Trouble, "it is tried again by itself; `creel snapshot create` tries at once"},
	snapshot.TroubleOverdue: {health.Trouble, "see `creel events` for why no snapshot was taken"},
	snapshot.TroubleLook:    {health.Trouble, "let creel read the gateway's state folders"},
	snapshot.TroubleShrunk:  {health.Warning, "`creel snapshot diff` shows what is missing; `creel snapshot accept` if that is right"},
	snapshot.TroubleUnread:  {health.Trouble, "look after the disk; remove the files that cannot be read, or bring them back from an earlier snapshot (`creel snapshot cat`)"},
	snapshot.TroublePrune:   {health.Warning, "it is tried again after the next snapshot"},
}

// snapshotTrouble is snapshot.Options.Trouble.
func (d *daemon) snapshotTrouble(kind snapshot.Trouble, message string) {
	if message == "" {
		d.health.Clear(health.Condition(kind))
		return
	}
	t := troubles[kind]
	d.health.Set(health.Condition(kind), t.severity, message, t.hint)
}

// finish saves what the gateway has left when it was stopped in good order.
func (k *keeper) finish(ctx context.Context, log *slog.Logger) {
	if k == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	if err := k.Keeper.Finish(ctx); err != nil {
		log.Warn("the gateway's last state could not be saved; it is where it was", "error", err)
	}
}

// close lets go of the store. Run must have ended (halt), or never begun.
func (k *keeper) close() error {
	if k == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	return k.Keeper.Close(ctx)
}

// CredentialsError says that the file with the credentials of the snapshot store
// cannot be used.
type CredentialsError struct {
	Path string
	Err  error
}

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("cannot use the credentials of the snapshot store in %s: %v", e.Path, e.Err)
}

func (e *CredentialsError) Unwrap() error { return e.Err }

// storeOf says how the store of a configuration is opened. Files that it names
// are read each time, so that new credentials count without a restart.
func storeOf(cfg *config.Config, dir string, log *slog.Logger) (where string, open func(context.Context) (store.Store, error), err error) {
	c := &cfg.Snapshots.Store
	o := store.Options{KeyFile: c.Key, CacheDir: filepath.Join(dir, "store-cache"), Machine: machineName(), Logger: log}
	if o.KeyFile == "" {
		o.KeyFile = SnapshotKeyPath(cfg.DataDir)
	}
	switch c.Kind {
	case config.StoreFolder:
		where = storeFolder(cfg)
		o.Folder = where
	case config.StoreS3:
		where = "s3://" + c.Bucket + "/" + c.Prefix
	default:
		where = c.Kind
	}
	return where, func(ctx context.Context) (store.Store, error) {
		o := o
		if err := addRemote(&o, c); err != nil {
			return nil, err
		}
		return store.Open(ctx, o)
	}, nil
}

// ledgerOf says how the ledger of a configuration's store is opened.
func ledgerOf(cfg *config.Config) func(context.Context) (store.Ledger, error) {
	c := &cfg.Snapshots.Store
	return func(ctx context.Context) (store.Ledger, error) {
		var o store.Options
		if c.Kind == config.StoreFolder {
			o.Folder = storeFolder(cfg)
		}
		if err := addRemote(&o, c); err != nil {
			return nil, err
		}
		return store.OpenLedger(ctx, o)
	}
}

// storeFolder is where snapshots are, if that is a folder.
func storeFolder(cfg *config.Config) string {
	if path := cfg.Snapshots.Store.Path; path != "" {
		return path
	}
	return filepath.Join(cfg.DataDir, "snapshots")
}

// addRemote says where a store is that is no folder, and how to get in.
func addRemote(o *store.Options, c *config.Store) error {
	if c.Kind == config.StoreFolder {
		return nil
	}
	secrets, err := readCredentials(c.Credentials)
	if err != nil {
		return &CredentialsError{c.Credentials, err}
	}
	if c.Kind != config.StoreS3 {
		o.Other = &store.Other{Type: c.Kind, Settings: map[string]any{}, Secrets: secrets}
		for _, option := range c.Options {
			name, value, _ := strings.Cut(option, "=")
			o.Other.Settings[name] = value
		}
		return nil
	}
	endpoint, plain := strings.CutPrefix(c.Endpoint, "http://")
	o.S3 = &store.S3{
		Endpoint: strings.TrimPrefix(endpoint, "https://"), Bucket: c.Bucket, Prefix: c.Prefix, Region: c.Region, Plain: plain,
		AccessKeyID: secrets["access_key_id"], SecretKey: secrets["secret_access_key"], SessionToken: secrets["session_token"],
	}
	if c.CA != "" {
		if o.S3.CA, err = os.ReadFile(c.CA); err != nil {
			return fmt.Errorf("cannot read the certificates of the snapshot store: %w", err)
		}
	}
	return nil
}

// readCredentials reads a file of NAME=value lines; lines that begin with "#" or
// "[" are passed over, so that one of AWS's own will do. Others than its owner
// must not be able to read it.
func readCredentials(path string) (map[string]telemetry.Secret, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("others may read it (mode %#o); chmod 600 it", mode)
	}
	secrets := map[string]telemetry.Secret{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.ToLower(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "aws_"))
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d is not NAME=value", n) // and may hold a secret, so it is not shown
		}
		secrets[name] = telemetry.Secret(strings.TrimSpace(value))
	}
	return secrets, lines.Err()
}

func machineName() string {
	name, err := os.Hostname()
	if err != nil {
		return "creel"
	}
	return name
}
