//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"creel/internal/snapshot/storetest"
)

// bucket is a bucket of a real S3 server.
type bucket struct{ server *storetest.Server }

func newBucket(t *testing.T) *bucket {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "s3")
	if err := os.MkdirAll(filepath.Join(dir, "creel"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &bucket{storetest.StartServer(t, dir)}
}

// use has a folder's snapshots kept in the bucket.
func (b *bucket) use(t *testing.T, f *folder) {
	t.Helper()
	credentials := filepath.Join(f.root, "credentials")
	text := "access_key_id=" + storetest.AccessKey + "\nsecret_access_key=" + storetest.SecretKey + "\n"
	if err := os.WriteFile(credentials, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.remote = true
	f.extra = append(f.extra,
		// The first machine dies without a word: the other one would wait for the end
		// of its lease.
		"CREEL_SNAPSHOTS_OWNER=off", "CREEL_SNAPSHOTS_STORE_KIND=s3", "CREEL_SNAPSHOTS_STORE_BUCKET=creel", "CREEL_SNAPSHOTS_STORE_REGION=us-east-1",
		"CREEL_SNAPSHOTS_STORE_ENDPOINT=http://"+b.server.Addr, "CREEL_SNAPSHOTS_STORE_CREDENTIALS="+credentials)
}
