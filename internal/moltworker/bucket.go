package moltworker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"creel/internal/telemetry"
)

// Object is one object of a bucket.
type Object struct {
	Key     string
	Size    int64
	ModTime time.Time
}

// Bucket is where moltworker has left its state. It can only be read.
type Bucket interface {
	// List gives all objects, in the order of their keys.
	List(ctx context.Context) iter.Seq2[Object, error]
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	String() string
}

// S3 says how to reach a bucket.
type S3 struct {
	Endpoint string // URL, such as "https://<account>.r2.cloudflarestorage.com"
	Region   string // "auto" for R2
	Bucket   string
	KeyID    string
	Secret   telemetry.Secret
	// Transport, if not nil, carries the requests.
	Transport http.RoundTripper
}

// Open gives the bucket. It makes no request.
func (o S3) Open() (Bucket, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("the endpoint %q is no URL of a host, such as https://host:port", o.Endpoint)
	}
	if o.Region == "" {
		o.Region = "auto"
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.KeyID, o.Secret.Reveal(), ""), Secure: u.Scheme == "https",
		Region: o.Region, Transport: o.Transport,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot use the endpoint %s: %w", o.Endpoint, err)
	}
	return &s3{client, o.Bucket}, nil
}

type s3 struct {
	client *minio.Client
	bucket string
}

func (b *s3) String() string { return "s3://" + b.bucket }

func (b *s3) List(ctx context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		// The client's goroutine ends with this context.
		ctx, cancel := context.WithCancel(ctx)
		list := b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Recursive: true})
		defer func() {
			cancel()
			for range list { // until it has
			}
		}()
		for o := range list {
			if o.Err != nil {
				yield(Object{}, b.explain("list", o.Err))
				return
			}
			if !yield(Object{o.Key, o.Size, o.LastModified}, nil) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(Object{}, context.Cause(ctx))
		}
	}
}

func (b *s3) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	o, err := b.client.GetObject(ctx, b.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.explain("read "+key+" in", err)
	}
	return o, nil
}

func (b *s3) explain(what string, err error) error {
	hint := ""
	switch minio.ToErrorResponse(err).Code {
	case "NoSuchBucket":
		hint = "; moltworker called it moltbot-data unless told otherwise"
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		hint = "; check the access key, its secret and the region"
	}
	return fmt.Errorf("cannot %s the bucket %s: %w%s", what, b.bucket, err, hint)
}

// Folder is a bucket that was downloaded into a folder.
func Folder(dir string) Bucket { return folder(dir) }

type folder string

func (f folder) String() string { return string(f) }

func (f folder) List(ctx context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		stop := errors.New("stop")
		err := filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			info, err := d.Info()
			if err != nil || !info.Mode().IsRegular() {
				return err // a bucket has no links
			}
			key, err := filepath.Rel(string(f), path)
			if err == nil && !yield(Object{filepath.ToSlash(key), info.Size(), info.ModTime()}, nil) {
				err = stop
			}
			return err
		})
		if err != nil && err != stop {
			yield(Object{}, fmt.Errorf("cannot list the folder: %w", err))
		}
	}
}

func (f folder) Open(_ context.Context, key string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(f), filepath.FromSlash(key)))
}
