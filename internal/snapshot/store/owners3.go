package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
)

// s3Ledger keeps each value as an object. Conditions are If-None-Match and
// If-Match with an entity tag (RFC 9110, section 13.1; Amazon S3 user guide,
// "Conditional writes").
type s3Ledger struct {
	s    *s3Storage
	name string // of the store, in errors
}

func openS3Ledger(o *Options) (*s3Ledger, error) {
	s, err := openS3(o.S3)
	if err != nil {
		return nil, err
	}
	return &s3Ledger{s, o.name()}, nil
}

func (l *s3Ledger) object(name string) blob.ID { return blob.ID(ownerFolder + "/" + name) }

// failure sorts an error.
func (l *s3Ledger) failure(err error) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.access(l.name)
	}
	return err
}

// maxValue bounds what is read: values are small.
const maxValue = 64 << 10

func (l *s3Ledger) Read(ctx context.Context, name string) ([]byte, string, error) {
	body, info, _, err := minio.Core{Client: l.s.client}.GetObject(ctx, l.s.bucket, l.s.object(l.object(name)), minio.GetObjectOptions{})
	if err = s3Error(err); errors.Is(err, blob.ErrBlobNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", l.failure(err)
	}
	defer body.Close()
	value, err := io.ReadAll(io.LimitReader(body, maxValue))
	if err == nil && info.ETag == "" {
		err = &UnfitError{l.name, "it names no version (entity tag) of an object"}
	}
	if err == nil && int64(len(value)) != info.Size {
		err = fmt.Errorf("the object %s is cut short: %d bytes of %d", l.object(name), len(value), info.Size)
	}
	return value, info.ETag, err
}

func (l *s3Ledger) Write(ctx context.Context, name string, value []byte, ifVersion string) (string, error) {
	opts := minio.PutObjectOptions{ContentType: "application/json", DisableMultipart: true, SendContentMd5: true}
	if ifVersion == "" {
		opts.SetMatchETagExcept("*")
	} else {
		opts.SetMatchETag(ifVersion)
	}
	info, err := l.s.client.PutObject(ctx, l.s.bucket, l.s.object(l.object(name)), bytes.NewReader(value), int64(len(value)), opts)
	if code(err) == "NotImplemented" {
		return "", &UnfitError{l.name, "it refuses conditional writes; use another store, or set snapshots.owner to off"}
	}
	switch err = s3Error(err); {
	case errors.Is(err, blob.ErrBlobAlreadyExists), ifVersion != "" && errors.Is(err, blob.ErrBlobNotFound):
		return "", ErrChanged
	case err != nil:
		return "", l.failure(err)
	case info.ETag == "":
		return "", &UnfitError{l.name, "it names no version (entity tag) of what was written"}
	}
	return info.ETag, nil
}

func (l *s3Ledger) Remove(ctx context.Context, name string) error {
	return l.failure(l.s.DeleteBlob(ctx, l.object(name)))
}

func (l *s3Ledger) Close() error { return l.s.Close(context.Background()) }
