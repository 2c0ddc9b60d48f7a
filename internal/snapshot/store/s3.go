package store

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Storage is kopia's layout of a repository in a bucket.
//
// It is not kopia's own: that one takes a bucket that is missing for an empty
// one, looks for credentials in places where a person did not put them (the
// environment, the address of a cloud's metadata service), tries a wrong key a
// hundred times, and cannot write a blob only if there is none.
type s3Storage struct {
	blob.DefaultProviderImplementation
	client *minio.Client
	idle   func()
	bucket string
	prefix string
}

var _ blob.Storage = (*s3Storage)(nil)
var _ creator = (*s3Storage)(nil)

func openS3(o *S3) (*s3Storage, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		ExpectContinueTimeout: 2 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if len(o.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("there is no certificate in the CA file")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	endpoint := o.Endpoint
	if endpoint == "" {
		endpoint = "s3.amazonaws.com"
	}
	client, err := minio.New(endpoint, &minio.Options{
		Creds:      credentials.NewStaticV4(o.AccessKeyID.Reveal(), o.SecretKey.Reveal(), o.SessionToken.Reveal()),
		Secure:     !o.Plain,
		Region:     o.Region,
		Transport:  transport,
		MaxRetries: 1, // guard tries again
	})
	if err != nil {
		return nil, err
	}
	client.SetAppInfo("creel", "1")
	prefix := o.Prefix
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return &s3Storage{client: client, idle: transport.CloseIdleConnections, bucket: o.Bucket, prefix: prefix}, nil
}

func (s *s3Storage) object(id blob.ID) string { return s.prefix + string(id) }

func (s *s3Storage) GetBlob(ctx context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) error {
	out.Reset()
	if length == 0 {
		_, err := s.GetMetadata(ctx, id) // there is no range of nothing
		return err
	}
	var opts minio.GetObjectOptions
	if length > 0 {
		if err := opts.SetRange(offset, offset+length-1); err != nil {
			return fmt.Errorf("%w: %d bytes at %d", blob.ErrInvalidRange, length, offset)
		}
	}
	// Core's GetObject is one request; Client's makes one more on its own.
	body, _, _, err := minio.Core{Client: s.client}.GetObject(ctx, s.bucket, s.object(id), opts)
	if err != nil {
		return s3Error(err)
	}
	defer body.Close()
	if _, err := io.Copy(out, body); err != nil {
		return s3Error(err)
	}
	return blob.EnsureLengthExactly(out.Length(), length)
}

func (s *s3Storage) GetMetadata(ctx context.Context, id blob.ID) (blob.Metadata, error) {
	info, err := s.client.StatObject(ctx, s.bucket, s.object(id), minio.StatObjectOptions{})
	if err != nil {
		return blob.Metadata{}, s3Error(err)
	}
	return blob.Metadata{BlobID: id, Length: info.Size, Timestamp: info.LastModified}, nil
}

func (s *s3Storage) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	switch {
	case opts.HasRetentionOptions(), opts.DoNotRecreate:
		return blob.ErrUnsupportedPutBlobOption
	case !opts.SetModTime.IsZero():
		return blob.ErrSetTimeUnsupported
	}
	r := data.Reader()
	defer r.Close()
	if err := s.put(ctx, id, r, int64(data.Length()), minio.PutObjectOptions{}); err != nil {
		return err
	}
	if opts.GetModTime != nil {
		m, err := s.GetMetadata(ctx, id)
		if err != nil {
			return err
		}
		*opts.GetModTime = m.Timestamp
	}
	return nil
}

func (s *s3Storage) put(ctx context.Context, id blob.ID, r io.Reader, size int64, opts minio.PutObjectOptions) error {
	opts.ContentType = "application/octet-stream"
	opts.DisableMultipart = true // a blob is at most one pack
	opts.SendContentMd5 = true   // so that the server notices what the way has damaged
	_, err := s.client.PutObject(ctx, s.bucket, s.object(id), r, size, opts)
	return s3Error(err)
}

// create writes a blob unless there is one, by a conditional write (RFC 9110,
// section 13.1.2). A server that does not know of it overwrites, or refuses; for
// the latter, looking first has to do.
func (s *s3Storage) create(ctx context.Context, id blob.ID, data []byte) error {
	if _, err := s.GetMetadata(ctx, id); !errors.Is(err, blob.ErrBlobNotFound) {
		if err == nil {
			err = blob.ErrBlobAlreadyExists
		}
		return err
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	err := s.put(ctx, id, bytes.NewReader(data), int64(len(data)), opts)
	if code(err) == "NotImplemented" {
		return s.put(ctx, id, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{})
	}
	return err
}

func (s *s3Storage) stranger(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing, which goes on in a goroutine
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, MaxKeys: 10}) {
		if o.Err != nil {
			return "", s3Error(o.Err)
		}
		if o.Key != s.prefix && o.Key != s.prefix+ownerFolder+"/" { // some tools make an object for the "folder"
			return o.Key, nil
		}
	}
	return "", nil
}

func (s *s3Storage) DeleteBlob(ctx context.Context, id blob.ID) error {
	err := s3Error(s.client.RemoveObject(ctx, s.bucket, s.object(id), minio.RemoveObjectOptions{}))
	if errors.Is(err, blob.ErrBlobNotFound) {
		return nil
	}
	return err
}

func (s *s3Storage) ListBlobs(ctx context.Context, prefix blob.ID, callback func(blob.Metadata) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.object(prefix)}) {
		if o.Err != nil {
			return s3Error(o.Err)
		}
		id := strings.TrimPrefix(o.Key, s.prefix)
		if id == "" || strings.Contains(id, "/") {
			continue
		}
		if err := callback(blob.Metadata{BlobID: blob.ID(id), Length: o.Size, Timestamp: o.LastModified}); err != nil {
			return err
		}
	}
	// A listing whose context ends just ends.
	return ctx.Err()
}

// ConnectionInfo holds no credentials: nothing asks for them here.
func (s *s3Storage) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: "s3", Config: map[string]string{"bucket": s.bucket, "prefix": s.prefix}}
}

func (s *s3Storage) DisplayName() string { return "s3://" + s.bucket + "/" + s.prefix }

func (s *s3Storage) Close(context.Context) error {
	s.idle()
	return nil
}

// code is the S3 error code of an error; "": none.
func code(err error) string {
	if e, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return e.Code
	}
	return ""
}

// s3Error sorts an error by what its code says. The codes are those of the
// Amazon S3 API reference, "Error responses", and a few of MinIO's own.
func s3Error(err error) error {
	e, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return err
	}
	hint, full := "", false
	switch e.Code {
	case "NoSuchKey", "NoSuchVersion", "NotFound": // the last is what an answer to HEAD, which has no body, is taken for
		return blob.ErrBlobNotFound
	case "InvalidRange":
		return blob.ErrInvalidRange
	case "PreconditionFailed", "ConditionalRequestConflict":
		return blob.ErrBlobAlreadyExists
	case "NoSuchBucket":
		hint = "create the bucket, or correct its name in the configuration"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired",
		"AuthorizationHeaderMalformed", "InvalidSecurity":
		hint = "correct the access key, the secret key or the region in the configuration"
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "AllAccessDenied":
		hint = "let these credentials list, read, write and delete objects in the bucket"
	case "RequestTimeTooSkewed":
		hint = "set this machine's clock right"
	case "QuotaExceeded", "NoSpaceLeftOnDevice", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "ServiceQuotaExceeded":
		hint, full = hintFull, true
	case "EntityTooLarge":
		hint = "let objects of 12 MiB be written to the bucket"
	case "PermanentRedirect", "AuthorizationQueryParametersError", "IllegalLocationConstraintException":
		hint = "the bucket is in another region or at another endpoint; correct the configuration"
	default:
		switch e.StatusCode {
		case http.StatusNotFound:
			// Not of the object, whose code is above: versitygw says so of a user. To
			// take it for a blob that is missing is to take the place for free.
			hint = "correct the endpoint, the bucket or the access key in the configuration"
		case http.StatusUnauthorized, http.StatusForbidden:
			hint = "correct the credentials in the configuration, or what they may do"
		case http.StatusInsufficientStorage:
			hint, full = hintFull, true
		}
	}
	if hint == "" {
		return err
	}
	return &refusal{err, hint, full}
}
