package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/format"
	"github.com/kopia/kopia/repo/maintenance"

	"creel/internal/telemetry"
)

// Open opens the store, and makes its repository if the place is empty. Errors
// are *AccessError where a person has to act: no or another key for what is
// there, something there that is no repository, credentials, and so on.
//
// The folder store needs no network. All others are asked a few small things.
func Open(ctx context.Context, o Options) (Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("cannot open the snapshot store: %w", err)
	}
	for _, s := range o.secrets() {
		// One too short to be registered is one that no store would have given.
		if err := telemetry.Register(s.Reveal()); err != nil && s != "" {
			return nil, fmt.Errorf("cannot open the snapshot store: a credential: %w", err)
		}
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Machine == "" {
		o.Machine = "creel"
	}
	ctx, done := oneFailure(withLogger(ctx, o.Logger))
	defer done()
	g, err := openStorage(ctx, &o)
	if err != nil {
		return nil, fail(ctx, "open the snapshot store "+o.name(), err)
	}
	s, err := openRepository(ctx, &o, g)
	if err != nil {
		return nil, errors.Join(fail(ctx, "open the snapshot store "+o.name(), err), g.Close(ctx))
	}
	return s, nil
}

// openStorage opens the place where blobs are.
func openStorage(ctx context.Context, o *Options) (*guard, error) {
	g := &guard{name: o.name(), patience: o.Patience}
	var err error
	switch {
	case o.Folder != "":
		g.Storage, err = openFolder(o.Folder, o.now, o.step)
		if err != nil {
			if r, ok := refused(err); ok {
				return nil, r.access(g.name)
			}
		}
	case o.S3 != nil:
		g.retry, g.recent.limit = true, recentLimit
		g.Storage, err = openS3(o.S3)
	default:
		g.recent.limit = recentLimit
		ctx, cancel := context.WithTimeoutCause(ctx, o.Patience, errGaveUp)
		defer cancel()
		g.Storage, err = openOther(ctx, o.Other)
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// openRepository finds the key, makes the repository if there is none, and opens it.
func openRepository(ctx context.Context, o *Options, g *guard) (*kopiaStore, error) {
	key, missing, err := findKey(ctx, o, g)
	for errors.Is(err, errMadeSince) {
		key, missing, err = findKey(ctx, o, g)
	}
	if err != nil {
		return nil, err
	}
	if missing {
		if err := initialise(ctx, g, key); err != nil && !errors.Is(err, repo.ErrAlreadyInitialized) {
			return nil, err
		}
	}
	var r repo.DirectRepository
	damaged, err := g.readable(ctx, func(ctx context.Context) (err error) {
		r, err = connect(ctx, o, g, key)
		return err
	})
	if errors.Is(err, format.ErrInvalidPassword) {
		return nil, &AccessError{Store: g.name, Err: errors.New("the snapshots in it were made with another key"),
			Hint: "import the key of the machine that made them, or choose another place"}
	}
	if err != nil {
		return nil, err
	}
	s := &kopiaStore{opts: *o, guard: g, repo: r, writing: make(chan struct{}, 1)}
	if len(damaged) > 0 {
		err = s.salvage(ctx, damaged)
	} else if !missing {
		err = s.checkOpened(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return s, nil
}

// findKey finds the key to the repository, or makes one if there is neither. missing
// tells that the repository has to be made. The error wraps errMadeSince if another
// creel has made it while this one looked; look again.
func findKey(ctx context.Context, o *Options, g *guard) (key Key, missing bool, err error) {
	if missing, err = g.lacksHead(ctx); err != nil {
		return "", false, err
	}
	key, err = LoadKey(o.KeyFile)
	switch {
	case errors.Is(err, ErrNoKey) && missing:
		if err := checkFree(ctx, g); err != nil {
			return "", false, err
		}
		key, err = keepKey(o.KeyFile, NewKey())
		if errors.Is(err, ErrOtherKey) { // somebody was faster: use theirs
			err = nil
		}
		return key, true, err
	case errors.Is(err, ErrNoKey):
		return "", false, &AccessError{Store: g.name, Err: errors.New("there are snapshots in it, and the key to them is missing"),
			Hint: "import the key of the machine that made them; without it they cannot be read. To begin anew, choose another place"}
	case err != nil:
		return "", false, &AccessError{Store: g.name, Err: err, Hint: "import the key again"}
	case missing:
		return key, true, checkFree(ctx, g)
	}
	return key, false, nil
}

// lacksHead tells whether there is no repository.
func (g *guard) lacksHead(ctx context.Context) (bool, error) {
	var head buffer
	err := g.GetBlob(ctx, format.KopiaRepositoryBlobID, 0, -1, &head)
	if errors.Is(err, blob.ErrBlobNotFound) {
		return true, nil
	}
	return false, err
}

// checkHead looks whether the repository that was opened is there still. Where a disk is
// not mounted any more there is an empty folder in its place, which would be taken for a
// repository from which all was removed, and would be written to.
func (g *guard) checkHead(ctx context.Context) error {
	lacks, err := g.lacksHead(ctx) // a look at it alone (HEAD) would not say why S3 refuses
	if lacks {
		return gaveUp(ctx, &AccessError{Store: g.name, Err: fmt.Errorf("the repository that was in it is gone (there is no %q)", format.KopiaRepositoryBlobID),
			Hint: "see that what it lies on is mounted; if it was removed, choose another place or bring it back from a copy"})
	}
	return err
}

// errMadeSince says that there is a repository where there was none a moment before.
var errMadeSince = errors.New("a repository was made meanwhile")

// checkFree refuses a place with something in it that is not ours. If what is in it is
// a repository by now, the error is errMadeSince.
func checkFree(ctx context.Context, g *guard) error {
	var name string
	err := g.do(ctx, "list", "", 0, func(ctx context.Context) (err error) {
		if c, ok := g.Storage.(creator); ok {
			name, err = c.stranger(ctx)
			return err
		}
		return g.Storage.ListBlobs(ctx, "", func(m blob.Metadata) error {
			name = string(m.BlobID)
			return nil
		})
	})
	if err != nil || name == "" {
		return err
	}
	switch lacks, err := g.lacksHead(ctx); {
	case err != nil:
		return err
	case !lacks:
		return errMadeSince
	}
	return &AccessError{Store: g.name, Err: fmt.Errorf("there is something in it that is no snapshot repository (%q)", name),
		Hint: "choose an empty place. If it was a repository, its " + format.KopiaRepositoryBlobID + " is lost"}
}

// initialise makes a repository. It is made in memory and then put in its place
// by one write, so that there is never half a repository.
func initialise(ctx context.Context, g *guard, key Key) error {
	var secret [3][]byte
	for i, purpose := range []string{"repository id", "master key", "content ids"} {
		var err error
		if secret[i], err = derive(key, purpose, 32); err != nil {
			return err
		}
	}
	draft := &memory{}
	err := repo.Initialize(ctx, draft, &repo.NewRepositoryOptions{
		UniqueID: secret[0],
		BlockFormat: format.ContentFormat{
			MasterKey:            secret[1],
			HMACSecret:           secret[2],
			EnablePasswordChange: true,
			MutableParameters: format.MutableParameters{
				MaxPackSize: packSize,
			},
		},
		ObjectFormat: format.ObjectFormat{Splitter: "DYNAMIC-4M-BUZHASH"}, // a stock kopia's choice; ours is made by file
		// The key is 256 bits of chance; what makes a weak password strong is only
		// in the way, and scrypt takes 64 MB for it.
		FormatBlockKeyDerivationAlgorithm: "pbkdf2-sha256-600000",
	}, key.Reveal())
	if err != nil {
		return err
	}
	data := draft.blobs[format.KopiaRepositoryBlobID]
	return g.do(ctx, "create", format.KopiaRepositoryBlobID, 0, func(ctx context.Context) error {
		if c, ok := g.Storage.(creator); ok {
			err := c.create(ctx, format.KopiaRepositoryBlobID, data)
			if errors.Is(err, blob.ErrBlobAlreadyExists) {
				return nil // by another creel, or by the try before this one; connect looks whose it is
			}
			return err
		}
		return g.Storage.PutBlob(ctx, format.KopiaRepositoryBlobID, plainBytes(data), blob.PutOptions{})
	})
}

// packSize is how much is uploaded at once, and so how much is held in memory
// for each of a few kinds of pack. It is kopia's least.
const packSize = 10 << 20

// pending is the storage that connect is opening: kopia opens a repository by
// a file that says where it is, and this is how the file says "here". So no
// credentials are in it.
var pending struct {
	sync.Mutex
	storage blob.Storage
}

const pendingType = "creel"

func init() {
	blob.AddSupportedStorage(pendingType, struct{}{}, func(context.Context, *struct{}, bool) (blob.Storage, error) {
		if pending.storage == nil {
			return nil, errors.New("this file is for creel's own use")
		}
		return pending.storage, nil
	})
}

func connect(ctx context.Context, o *Options, g *guard, key Key) (repo.DirectRepository, error) {
	if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the cache folder of the snapshots: %w", err)
	}
	config := repo.LocalConfig{
		Storage: &blob.ConnectionInfo{Type: pendingType, Config: struct{}{}},
		// No cache of kopia's: with one, Verify would read that and not the store.
		Caching: &content.CachingOptions{},
		ClientOptions: repo.ClientOptions{
			Hostname:                o.Machine,
			Username:                "creel",
			FormatBlobCacheDuration: -1, // asked for at each open: it tells whose repository it is
		},
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.CacheDir, "kopia.json")
	pending.Lock()
	defer pending.Unlock()
	// One list of snapshots that is damaged must not hide all others. kopia knows
	// of this by the environment alone; Maintain looks that none is.
	if err := os.Setenv("KOPIA_IGNORE_MALFORMED_MANIFEST_CONTENTS", "1"); err != nil {
		return nil, err
	}
	pending.storage = g
	defer func() { pending.storage = nil }()
	if err := renameio.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("cannot write to the cache folder of the snapshots: %w", err)
	}
	r, err := repo.Open(ctx, file, key.Reveal(), &repo.Options{
		TimeNowFunc:          o.now,
		DisableRepositoryLog: true,
		DoNotWaitForUpgrade:  true,
		// kopia would end the process.
		OnFatalError: func(err error) {
			if o.Logger != nil {
				o.Logger.Error("snapshot repository cannot be used", "error", err)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	direct := r.(repo.DirectRepository) // all but kopia's own server are
	fillPacks(direct, packUnit)
	return direct, nil
}

// kopiaStore is a Store on a kopia repository.
type kopiaStore struct {
	opts  Options
	guard *guard
	repo  repo.DirectRepository

	writing chan struct{} // holds a value while a call writes
	judged  sync.Map      // blob.ID of packs that recoverLost has found to be left over
	calls   calls
	closing sync.Once
}

var _ Store = (*kopiaStore)(nil)

func (s *kopiaStore) now() time.Time {
	if s.opts.now != nil {
		return s.opts.now()
	}
	return time.Now()
}

func (s *kopiaStore) safety() maintenance.SafetyParameters {
	if s.opts.safety != nil {
		return *s.opts.safety
	}
	return maintenance.SafetyFull
}

// memory is a storage in memory, for a repository that is being made.
type memory struct {
	blob.DefaultProviderImplementation
	blobs map[blob.ID][]byte
}

func (m *memory) PutBlob(_ context.Context, id blob.ID, data blob.Bytes, _ blob.PutOptions) error {
	var b bytes.Buffer
	if _, err := data.WriteTo(&b); err != nil {
		return err
	}
	if m.blobs == nil {
		m.blobs = make(map[blob.ID][]byte)
	}
	m.blobs[id] = b.Bytes()
	return nil
}

func (m *memory) GetBlob(context.Context, blob.ID, int64, int64, blob.OutputBuffer) error {
	return blob.ErrBlobNotFound
}

func (m *memory) GetMetadata(context.Context, blob.ID) (blob.Metadata, error) {
	return blob.Metadata{}, blob.ErrBlobNotFound
}
func (m *memory) ListBlobs(context.Context, blob.ID, func(blob.Metadata) error) error { return nil }
func (m *memory) DeleteBlob(context.Context, blob.ID) error                           { return nil }
func (m *memory) ConnectionInfo() blob.ConnectionInfo                                 { return blob.ConnectionInfo{} }
func (m *memory) DisplayName() string                                                 { return "memory" }

// buffer is a blob.OutputBuffer.
type buffer struct{ bytes.Buffer }

func (b *buffer) Length() int { return b.Len() }
