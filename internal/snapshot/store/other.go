package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/azure"
	"github.com/kopia/kopia/repo/blob/rclone"
	"github.com/kopia/kopia/repo/blob/sftp"
	"github.com/kopia/kopia/repo/blob/webdav"
)

// others are the stores that kopia brings. Two that speak S3 too are not among
// them: the library for Google Cloud Storage would double the binary, and the one
// for Backblaze B2 starts a goroutine whether it is used or not.
var others = map[string]func(context.Context, []byte) (blob.Storage, error){
	"azure":  other(azure.New),
	"rclone": other(rclone.New),
	"sftp":   other(sftp.New),
	"webdav": other(webdav.New),
}

func other[O any](open func(context.Context, *O, bool) (blob.Storage, error)) func(context.Context, []byte) (blob.Storage, error) {
	return func(ctx context.Context, settings []byte) (blob.Storage, error) {
		var o O
		d := json.NewDecoder(bytes.NewReader(settings))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			return nil, err
		}
		return open(ctx, &o, true)
	}
}

func openOther(ctx context.Context, o *Other) (blob.Storage, error) {
	open := others[o.Type]
	if open == nil {
		return nil, fmt.Errorf("there is no store of type %q; there are folder, s3, %s",
			o.Type, strings.Join(slices.Sorted(maps.Keys(others)), ", "))
	}
	all := make(map[string]any, len(o.Settings)+len(o.Secrets))
	maps.Copy(all, o.Settings)
	for name, secret := range o.Secrets {
		all[name] = secret.Reveal()
	}
	settings, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("the settings of the store: %w", err)
	}
	return open(ctx, settings)
}

// plainBytes is a blob.Bytes in one piece.
type plainBytes []byte

func (p plainBytes) Length() int { return len(p) }

func (p plainBytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p)
	return int64(n), err
}

func (p plainBytes) Reader() io.ReadSeekCloser { return nopSeekCloser{bytes.NewReader(p)} }

type nopSeekCloser struct{ io.ReadSeeker }

func (nopSeekCloser) Close() error { return nil }
