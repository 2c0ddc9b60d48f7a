package moltworker

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/storetest"
	"creel/internal/snapshot/tree"
	"creel/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config = `{"agents": {"defaults": {"workspace": "/root/clawd"}}, "note": "/root/clawdette /root/clawd"} // by hand
`

// bucketOf is a bucket with these objects, served over HTTP, which allows only to list
// and to read, and counts what was tried.
func bucketOf(t *testing.T, objects map[string]string) (Bucket, *s3Server) {
	t.Helper()
	s := &s3Server{objects: objects, methods: map[string]int{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	b, err := S3{Endpoint: server.URL, Bucket: "moltbot-data", KeyID: "id", Secret: telemetry.Secret("secret"), Transport: transport}.Open()
	must(t, err)
	return b, s
}

// s3Server answers ListObjectsV2, HEAD and GET of objects.
type s3Server struct {
	objects map[string]string
	mu      sync.Mutex
	methods map[string]int
}

var modified = time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC)

func (s *s3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.methods[r.Method]++
	s.mu.Unlock()
	key, inside := strings.CutPrefix(r.URL.Path, "/moltbot-data/")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "read only", http.StatusMethodNotAllowed)
	case r.URL.Query().Get("list-type") == "2":
		s.list(w, r.URL.Query().Get("continuation-token"))
	case inside && s.has(key):
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", modified, strings.NewReader(s.objects[key]))
	default:
		http.Error(w, "", http.StatusNotFound)
	}
}

func (s *s3Server) has(key string) bool { _, ok := s.objects[key]; return ok }

// list gives three keys at a time.
func (s *s3Server) list(w http.ResponseWriter, after string) {
	type content struct {
		Key          string
		Size         int
		LastModified string
		ETag         string
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []content
	}
	var keys []string
	for k := range s.objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if k <= after {
			continue
		}
		if len(page.Contents) == 3 {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[2].Key
			break
		}
		page.Contents = append(page.Contents, content{k, len(s.objects[k]), modified.Format(time.RFC3339), `"x"`})
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(page)
}

// TestLayouts imports each layout, from a bucket and from a folder, and looks at
// all that is there afterwards. Nothing but reading was tried.
func TestLayouts(t *testing.T) {
	image := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", name+".sqsh"))
		must(t, err)
		return string(b)
	}
	older := []string{".openclaw/cron/jobs.json", ".openclaw/openclaw.json", "clawd/MEMORY.md", "clawd/skills/own/SKILL.md"}
	inImage := []string{
		".openclaw/agents/main/sessions/x.jsonl", ".openclaw/memory/main.sqlite", ".openclaw/openclaw.json",
		"clawd/MEMORY.md", "clawd/absolute", "clawd/big", "clawd/café", "clawd/hard", "clawd/none", "clawd/pipe",
		"clawd/relative", "clawd/skills/own/run", "clawd/zeros",
	}
	snapshot := func(comp string) map[string]string {
		return map[string]string{
			"backup-handle.json": `{"id":"0b-1","dir":"/home/openclaw"}`, "restore-needed": "1", "openclaw/cron/jobs.json": "{}",
			"backups/0b-1/data.sqsh": image(comp), "backups/0b-1/meta.json": "{}",
			"backups/0a-9/data.sqsh": "not this one", "backups/0a-9/meta.json": "{}",
		}
	}
	for name, c := range map[string]struct {
		objects map[string]string
		layout  Layout
		want    []string
	}{
		"flat":           {map[string]string{"clawdbot.json": config, "cron/jobs.json": "{}", "skills/own/SKILL.md": "s", "workspace/MEMORY.md": "m", "gateway.lock": "", ".last-sync": "x"}, Flat, older},
		"clawdbot":       {map[string]string{"clawdbot/clawdbot.json": config, "clawdbot/cron/jobs.json": "{}", "skills/own/SKILL.md": "s", "workspace/MEMORY.md": "m", ".last-sync": "x"}, Clawdbot, older},
		"rclone":         {map[string]string{"openclaw/openclaw.json": config, "openclaw/cron/jobs.json": "{}", "openclaw/x/y.lock": "", "skills/own/SKILL.md": "s", "workspace/MEMORY.md": "m", "workspace/": "", ".last-sync": "x"}, Rclone, older},
		"snapshot, gzip": {snapshot("gzip"), Snapshot, inImage},
		"snapshot, zstd": {snapshot("zstd"), Snapshot, inImage},
		"snapshot, xz":   {snapshot("xz"), Snapshot, inImage},
		"snapshot, lz4":  {snapshot("lz4"), Snapshot, inImage},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, server := bucketOf(t, c.objects)
			fromBucket := importInto(t, bucket, c.layout, c.want)
			for method := range server.methods {
				if method != http.MethodGet && method != http.MethodHead {
					t.Errorf("the bucket was asked for %v", server.methods)
				}
			}
			dir := t.TempDir()
			for key, content := range c.objects {
				if strings.HasSuffix(key, "/") {
					continue
				}
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, key)), 0o755))
				must(t, os.WriteFile(filepath.Join(dir, key), []byte(content), 0o644))
			}
			before := tree.OfDir("b", dir)
			fromFolder := importInto(t, Folder(dir), c.layout, c.want)
			ignore := tree.CompareOptions{Ignore: []tree.Aspect{tree.AspectTime, tree.AspectTarget}}
			for _, d := range compare(t, tree.OfDir("home", fromBucket), tree.OfDir("home", fromFolder), ignore) {
				// The paths in it are those of each home.
				if d.Path != "home/.openclaw/openclaw.json" {
					t.Errorf("from the folder: %v", d)
				}
			}
			for _, d := range compare(t, before, tree.OfDir("b", dir), tree.CompareOptions{}) {
				t.Errorf("the folder was changed: %v", d)
			}
		})
	}
}

func importInto(t *testing.T, b Bucket, layout Layout, want []string) (home string) {
	t.Helper()
	home = filepath.Join(t.TempDir(), "openclaw", "home")
	must(t, os.MkdirAll(filepath.Join(home, ".openclaw"), 0o700)) // empty folders are no state
	dry, err := Import(t.Context(), Options{Bucket: b, Home: home, DryRun: true})
	must(t, err)
	if found, err := os.ReadDir(filepath.Join(home, ".openclaw")); err != nil || len(found) > 0 {
		t.Errorf("a dry run has written %v (%v)", found, err)
	}
	got, err := Import(t.Context(), Options{Bucket: b, Home: home})
	must(t, err)
	if fmt.Sprintf("%+v", dry) != fmt.Sprintf("%+v", got) {
		t.Errorf("dry run %+v\nimport  %+v", dry, got)
	}
	var paths []string
	for _, f := range got.Files {
		paths = append(paths, f.Path)
	}
	slices.Sort(paths)
	if got.Layout != layout || !slices.Equal(paths, want) {
		t.Errorf("imported as %s: %q\nwant %q", got.Layout, paths, want)
	}
	var onDisk []string
	must(t, filepath.WalkDir(home, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(home, p)
			onDisk = append(onDisk, rel)
		}
		return err
	}))
	slices.Sort(onDisk)
	if !slices.Equal(onDisk, want) {
		t.Errorf("on disk are %q", onDisk)
	}
	text := read(t, filepath.Join(home, ".openclaw/openclaw.json"))
	if !strings.Contains(text, `"workspace": "`+home+`/clawd"`) || !strings.Contains(text, "by hand") {
		t.Errorf("openclaw.json is %s", text)
	}
	if beside, err := os.ReadDir(filepath.Dir(home)); err != nil || len(beside) != 1 {
		t.Errorf("beside the home: %v (%v)", beside, err)
	}
	return home
}

// TestImage looks at what an image holds besides names.
func TestImage(t *testing.T) {
	bucket, _ := bucketOf(t, map[string]string{"backups/x/data.sqsh": read(t, "testdata/zstd.sqsh")})
	home := filepath.Join(t.TempDir(), "home")
	got, err := Import(t.Context(), Options{Bucket: bucket, Home: home})
	must(t, err)
	if len(got.Damaged) > 0 || len(got.Losses) > 0 || len(got.Skipped) > 0 {
		t.Errorf("%+v", got)
	}
	in := func(p string) string { return filepath.Join(home, p) }
	var long strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&long, "line %d of a long file\n", i)
	}
	if read(t, in("clawd/big")) != long.String() || read(t, in("clawd/zeros")) != strings.Repeat("\x00", 400000)+"end" || read(t, in("clawd/none")) != "" {
		t.Error("contents differ")
	}
	a, err := os.Stat(in("clawd/MEMORY.md"))
	must(t, err)
	b, err := os.Stat(in("clawd/hard"))
	must(t, err)
	if !os.SameFile(a, b) || !a.ModTime().Equal(time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("hard links: %v, %v", a, b)
	}
	if info, err := os.Stat(in("clawd/skills/own/run")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	for link, want := range map[string]string{"absolute": home + "/clawd/MEMORY.md", "relative": "MEMORY.md"} {
		if to, err := os.Readlink(in("clawd/" + link)); err != nil || to != want {
			t.Errorf("%s points to %s (%v), want %s", link, to, err, want)
		}
	}
	where := map[string]string{}
	for _, r := range got.Rewritten {
		where[r.Where] = strings.TrimPrefix(r.To, home)
	}
	for p, want := range map[string]string{
		"/agents/defaults/workspace": "/clawd", "/agents/list/0/agentDir": "/.openclaw/agents/main",
		"/skills/load/extraDirs/0": "/clawd/skills", "clawd/absolute": "/clawd/MEMORY.md",
	} {
		if where[p] != want {
			t.Errorf("%s: %q, want %q", p, where[p], want)
		}
		delete(where, p)
	}
	if len(where) > 0 {
		t.Errorf("rewritten too: %v", where)
	}
}

func TestRefuses(t *testing.T) {
	full := func(t *testing.T) string {
		home := t.TempDir()
		must(t, os.WriteFile(filepath.Join(home, "f"), nil, 0o600))
		return home
	}
	fresh := func(t *testing.T) string { return filepath.Join(t.TempDir(), "home") }
	rclone := map[string]string{"openclaw/openclaw.json": config}
	two := map[string]string{"openclaw/openclaw.json": config, "backups/x/data.sqsh": "x"}
	for name, c := range map[string]struct {
		objects map[string]string
		home    func(*testing.T) string
		o       Options
		is      func(error) bool
	}{
		"home is not empty": {rclone, full, Options{}, is[*restore.NotEmptyError]},
		"nothing":           {map[string]string{"x": ""}, fresh, Options{}, is[*LayoutError]},
		"two layouts":       {two, fresh, Options{}, is[*LayoutError]},
		"another layout":    {rclone, fresh, Options{Layout: Flat}, is[*LayoutError]},
		"no such backup":    {two, fresh, Options{Backup: "y"}, is[*LayoutError]},
		"no image":          {two, fresh, Options{Backup: "x"}, func(err error) bool { return err != nil && !is[*LayoutError](err) }},
		"cut image":         {map[string]string{"backups/x/data.sqsh": read(t, "testdata/zstd.sqsh")[:9000]}, fresh, Options{}, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, _ := bucketOf(t, c.objects)
			c.o.Bucket, c.o.Home = bucket, c.home(t)
			before, _ := os.ReadDir(filepath.Dir(c.o.Home))
			_, err := Import(t.Context(), c.o)
			if !c.is(err) {
				t.Errorf("got %v", err)
			}
			if after, _ := os.ReadDir(filepath.Dir(c.o.Home)); len(after) != len(before) {
				t.Errorf("left behind: %v", after)
			}
		})
	}
}

// TestBreaksOff: an import that fails in the midst of it leaves nothing.
func TestBreaksOff(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	broken := errors.New("the line is cut")
	_, err := Import(t.Context(), Options{Home: home, Bucket: failing{broken}})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(home)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

type failing struct{ err error }

func (f failing) String() string { return "a bucket" }

func (f failing) List(context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		_ = yield(Object{Key: "openclaw/a", Size: 3}, nil) && yield(Object{Key: "openclaw/openclaw.json", Size: int64(len(config))}, nil)
	}
}

func (f failing) Open(_ context.Context, key string) (io.ReadCloser, error) {
	if key == "openclaw/a" {
		return nil, f.err
	}
	return io.NopCloser(strings.NewReader(config)), nil
}

// TestOddKeys: a bucket can hold what a file system cannot.
func TestOddKeys(t *testing.T) {
	bucket, _ := bucketOf(t, map[string]string{
		"openclaw/openclaw.json": config, "openclaw/a": "file", "openclaw/a/b": "and below", "openclaw/x//y": "", "workspace/../../etc/passwd": "no",
	})
	home := filepath.Join(t.TempDir(), "home")
	got, err := Import(t.Context(), Options{Bucket: bucket, Home: home})
	must(t, err)
	var skipped []string
	for _, s := range got.Skipped {
		skipped = append(skipped, s.Path)
	}
	slices.Sort(skipped)
	if want := []string{".openclaw/a/b", ".openclaw/x//y", "clawd/../../etc/passwd"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
}

func compare(t *testing.T, a, b tree.Tree, o tree.CompareOptions) []tree.Difference {
	t.Helper()
	list, err := tree.Compare(t.Context(), a, b, o)
	must(t, err)
	return list
}

func is[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRealServer imports every layout from a real S3 server, in whose buckets nothing
// changes; with more objects than one page of a listing has, and with a key that may
// not read.
func TestRealServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s3")
	must(t, os.MkdirAll(dir, 0o700))
	layouts := map[Layout]map[string]string{
		Flat:     {"clawdbot.json": config, "workspace/MEMORY.md": "m", ".last-sync": "x"},
		Clawdbot: {"clawdbot/clawdbot.json": config, "skills/own/SKILL.md": "s", "workspace/MEMORY.md": "m"},
		Rclone:   {"openclaw/openclaw.json": config, "workspace/MEMORY.md": "m", "workspace/a b/c+d?.md": "odd"},
		Snapshot: {"backup-handle.json": `{"id":"0b-1","dir":"/home/openclaw"}`, "backups/0b-1/data.sqsh": read(t, "testdata/zstd.sqsh")},
	}
	for i := range 1100 { // a page has 1,000
		layouts[Rclone][fmt.Sprintf("workspace/notes/%04d.md", i)] = fmt.Sprint(i)
	}
	for layout := range layouts {
		must(t, os.Mkdir(filepath.Join(dir, string(layout)), 0o700))
	}
	srv := storetest.StartServer(t, dir)
	for layout, objects := range layouts {
		for key, content := range objects {
			srv.Put(string(layout), key, content)
		}
	}
	before := srv.Objects()
	open := func(layout Layout, secret string) Bucket {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		b, err := S3{Endpoint: "http://" + srv.Addr, Region: "us-east-1", Bucket: string(layout), KeyID: storetest.AccessKey, Secret: telemetry.Secret(secret), Transport: transport}.Open()
		must(t, err)
		return b
	}
	for layout, objects := range layouts {
		home := filepath.Join(t.TempDir(), "home")
		got, err := Import(t.Context(), Options{Bucket: open(layout, storetest.SecretKey), Home: home})
		must(t, err)
		if got.Layout != layout || layout == Rclone && len(got.Files) != len(objects) {
			t.Errorf("%s: %d files as %s of %d objects", layout, len(got.Files), got.Layout, len(objects))
		}
		if layout == Rclone && (read(t, filepath.Join(home, "clawd/notes/1099.md")) != "1099" || read(t, filepath.Join(home, "clawd/a b/c+d?.md")) != "odd") {
			t.Error("contents differ")
		}
		if memory := read(t, filepath.Join(home, "clawd/MEMORY.md")); layout != Snapshot && memory != "m" || memory == "" {
			t.Errorf("%s: the memory is %q", layout, memory)
		}
		home = filepath.Join(t.TempDir(), "home")
		if _, err := Import(t.Context(), Options{Bucket: open(layout, "wrong"), Home: home}); err == nil || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: with a wrong key: %v", layout, err)
		}
		if _, err := os.Stat(home); err == nil {
			t.Errorf("%s: an import that was refused has made the home", layout)
		}
	}
	if !maps.Equal(before, srv.Objects()) {
		t.Error("a bucket was changed")
	}
}
