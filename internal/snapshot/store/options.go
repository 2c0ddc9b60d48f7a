package store

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/kopia/kopia/repo/maintenance"

	"creel/internal/telemetry"
)

// Options say where snapshots live. Exactly one of Folder, S3 and Other is set.
type Options struct {
	Folder string // absolute path of a folder on a local file system
	S3     *S3
	Other  *Other

	// KeyFile is the absolute path of the key. It is made by Open when a
	// repository is made, and never written otherwise.
	KeyFile string
	// CacheDir is the absolute path of a folder for what can be had again from
	// the store: its index. Folder and CacheDir may be removed while no store is
	// open. Two stores must not share it.
	CacheDir string
	// Machine is this machine's name, for people, and to settle which machine
	// maintains a shared repository.
	Machine string
	// Patience is how long one request to the store is tried again before it is
	// given up; 0: DefaultPatience. Uploads get more for what they carry, at
	// MinRate.
	Patience time.Duration
	// Logger gets what kopia has to say; nil: nobody.
	Logger *slog.Logger

	// For tests: ages cannot be waited for.
	now    func() time.Time
	safety *maintenance.SafetyParameters
	// step is called after each change of the folder, with what was done.
	step func(string)
}

// Bounds of a request to a store.
const (
	DefaultPatience = 2 * time.Minute
	// MinRate is the slowest connection, in bytes per second, on which a blob
	// still gets through.
	MinRate = 64 << 10
)

// S3 is a bucket of AWS S3 or whatever speaks its protocol.
type S3 struct {
	Endpoint string // host or host:port, without a scheme; empty: AWS
	Bucket   string
	Prefix   string // of the names of all objects; a "/" is added if there is none at its end
	Region   string // empty: asked for

	AccessKeyID  telemetry.Secret
	SecretKey    telemetry.Secret
	SessionToken telemetry.Secret // of temporary credentials; may be empty

	CA []byte // certificates in PEM, trusted instead of the system's
	// Plain speaks HTTP without TLS, to a loopback address only.
	Plain bool
}

// Other is a store that kopia brings along, in kopia's words: "azure", "sftp",
// "webdav" or "rclone". Google Cloud Storage and Backblaze B2 are reached through
// their S3 protocol.
type Other struct {
	Type string
	// Settings and Secrets are the fields of kopia's configuration of this
	// store, by their names in JSON.
	Settings map[string]any
	Secrets  map[string]telemetry.Secret
}

func (o *Options) check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	kinds := 0
	if o.Folder != "" {
		kinds++
		if !filepath.IsAbs(o.Folder) {
			bad("the folder %q is not an absolute path", o.Folder)
		}
	}
	if o.S3 != nil {
		kinds++
		o.S3.check(bad)
	}
	if o.Other != nil {
		kinds++
	}
	if kinds != 1 {
		bad("one of a folder, S3 and another store must be chosen, not %d", kinds)
	}
	if !filepath.IsAbs(o.KeyFile) {
		bad("the key file %q is not an absolute path", o.KeyFile)
	}
	if !filepath.IsAbs(o.CacheDir) {
		bad("the cache folder %q is not an absolute path", o.CacheDir)
	}
	return errors.Join(problems...)
}

func (s *S3) check(bad func(string, ...any)) {
	if s.Bucket == "" {
		bad("no bucket is given")
	}
	if s.AccessKeyID == "" || s.SecretKey == "" {
		bad("an access key id and a secret key are needed")
	}
	if s.Endpoint == "" {
		return
	}
	u, err := url.Parse("https://" + s.Endpoint)
	if err != nil || u.Host != s.Endpoint {
		bad("the endpoint %q is not a host or host:port", s.Endpoint)
		return
	}
	if ip := net.ParseIP(u.Hostname()); s.Plain && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		bad("the endpoint %q is not on this machine, so it must use TLS", s.Endpoint)
	}
}

// name is the store in the words of errors and logs.
func (o *Options) name() string {
	switch {
	case o.S3 != nil:
		return "s3://" + o.S3.Bucket + "/" + o.S3.Prefix
	case o.Other != nil:
		return o.Other.Type
	}
	return o.Folder
}

// secrets lists what must not be seen.
func (o *Options) secrets() []telemetry.Secret {
	var all []telemetry.Secret
	if o.S3 != nil {
		all = append(all, o.S3.AccessKeyID, o.S3.SecretKey, o.S3.SessionToken)
	}
	if o.Other != nil {
		for _, s := range o.Other.Secrets {
			all = append(all, s)
		}
	}
	return all
}
