package openclaw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestInstall(t *testing.T) {
	d := newFakeDir(t)
	in := testInstaller(t.TempDir(), d)
	var phases []Phase
	in.Progress = func(p Progress) { phases = append(phases, p.Phase) }

	got, err := in.Install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != DefaultVersion || got.NodeVersion != NodeVersion || got.Reused {
		t.Errorf("Install = %+v", got)
	}
	for _, path := range []string{got.Node, got.Entry, got.Dir} {
		if _, err := os.Stat(path); err != nil || !filepath.IsAbs(path) {
			t.Errorf("installed file: %v", err)
		}
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(got.Entry), lifecycleMarker)); err == nil {
		t.Error("OpenClaw's own installation was not finished")
	}
	if want := []Phase{PhaseCheck, PhaseNode, PhaseOpenClaw, PhaseVerify, PhaseCommit, PhaseDone}; !slices.Equal(slices.Compact(phases), want) {
		t.Errorf("phases %v, want %v", slices.Compact(phases), want)
	}
	assertClean(t, in.Layout)

	// The second run finds it, with no npm at all.
	in.NPM = "/nonexistent/npm"
	if got, err = in.Install(t.Context()); err != nil || !got.Reused {
		t.Errorf("second Install = %+v, %v", got, err)
	}
	pkg := nodePackages[goruntime.GOOS+"/"+goruntime.GOARCH]
	want := []string{pkg + "@" + NodeVersion + " scripts=false own-node=false", "openclaw@" + DefaultVersion + " scripts=false own-node=true"}
	if runs := d.runs(); !slices.Equal(runs, want) {
		t.Errorf("npm installed %q, want %q", runs, want)
	}
}

// assertClean checks that nothing of an installation in the making is left.
func assertClean(t *testing.T, l Layout) {
	t.Helper()
	if left, err := os.ReadDir(l.staging()); err != nil || len(left) > 0 {
		t.Errorf("staging folder: %v, %v", left, err)
	}
	if _, err := os.Stat(l.npmCache()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("npm's cache is left: %v", err)
	}
}

// A creel that is killed while it installs leaves no npm behind, and the next
// run repairs what it has left.
func TestInstallAfterKill(t *testing.T) {
	for _, place := range []string{"node", "openclaw", "verify"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			d, data := newFakeDir(t), t.TempDir()
			d.write(t, "hang", place)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			creel := exec.CommandContext(t.Context(), self)
			creel.Env = append(os.Environ(), "FAKE=installer", "FAKE_DIR="+string(d), "FAKE_DATA="+data)
			creel.Stderr = os.Stderr
			if err := creel.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, "the installation reaches "+place, func() bool { return d.read("hung") != "" })
			if err := creel.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = creel.Wait() // "signal: killed" is meant
			await(t, "the program that creel ran is gone", func() bool { return !running(d.read("hung")) })

			if err := os.Remove(d.path("hang")); err != nil {
				t.Fatal(err)
			}
			in := testInstaller(data, d)
			if left, err := os.ReadDir(in.Layout.staging()); err != nil || len(left) == 0 {
				t.Fatalf("the kill came too late to show anything: %v, %v", left, err)
			}
			if got, err := in.Install(t.Context()); err != nil || got.Reused {
				t.Fatalf("Install after a kill = %+v, %v", got, err)
			}
			assertClean(t, in.Layout)
		})
	}
}

// An npm that dies of a signal is an npm that failed.
func TestInstallNPMKilled(t *testing.T) {
	d := newFakeDir(t)
	d.write(t, "hang", "openclaw")
	in := testInstaller(t.TempDir(), d)
	in.pauses = []time.Duration{}
	done := installAsync(t.Context(), in)
	await(t, "npm installs", func() bool { return d.read("hung") != "" })
	var pid int
	if _, err := fmt.Sscan(d.read("hung"), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := <-done
	if failure, ok := errors.AsType[*InstallError](err); !ok || failure.Reason != ReasonNPMFailed || !strings.Contains(failure.Error(), "killed") {
		t.Errorf("Install = %v", err)
	}
	if err := os.Remove(d.path("hang")); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Install(t.Context()); err != nil {
		t.Errorf("Install afterwards: %v", err)
	}
}

// installAsync installs in a goroutine, whose end is the error.
func installAsync(ctx context.Context, in *Installer) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := in.Install(ctx)
		done <- err
	}()
	return done
}

// A cancelled installation leaves no process behind, children of npm included.
func TestInstallCancelled(t *testing.T) {
	for _, place := range []string{"child", "verify"} {
		t.Run(place, func(t *testing.T) {
			d := newFakeDir(t)
			d.write(t, "hang", place)
			in := testInstaller(t.TempDir(), d)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := installAsync(ctx, in)
			await(t, "the installation reaches "+place, func() bool { return d.read("hung") != "" })
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Install = %v, want context.Canceled", err)
			}
			await(t, "nothing of it runs", func() bool { return !running(d.read("hung")) })
		})
	}
}

// Of several at once, one installs and the others use it.
func TestInstallConcurrent(t *testing.T) {
	d, data := newFakeDir(t), t.TempDir()
	var all sync.WaitGroup
	var mu sync.Mutex
	fresh := 0
	for range 4 {
		all.Go(func() {
			got, err := testInstaller(data, d).Install(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !got.Reused {
				fresh++
			}
		})
	}
	all.Wait()
	if fresh != 1 || len(d.runs()) != 2 {
		t.Errorf("%d installations, npm was run for %q", fresh, d.runs())
	}
}

// While another process installs, the wait is shown, and it ends with ctx.
func TestInstallWaits(t *testing.T) {
	d, data := newFakeDir(t), t.TempDir()
	in := testInstaller(data, d)
	unlock, err := in.lock(t.Context(), startReporter(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	in.Progress = func(p Progress) {
		if p.Phase == PhaseWait {
			cancel()
		}
	}
	_, err = in.Install(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), in.Layout.installLock()) {
		t.Errorf("Install = %v", err)
	}
	if len(d.runs()) > 0 {
		t.Errorf("npm was run: %q", d.runs())
	}
}

// What cleaners and broken copies do to an installation is seen and repaired.
func TestInstallRepairs(t *testing.T) {
	damages := map[string]func(Installation) error{
		"no manifest":    func(i Installation) error { return os.Remove(filepath.Join(i.Dir, "manifest.json")) },
		"empty manifest": func(i Installation) error { return os.Truncate(filepath.Join(i.Dir, "manifest.json"), 0) },
		"no node":        func(i Installation) error { return os.Remove(i.Node) },
		"short entry":    func(i Installation) error { return os.Truncate(i.Entry, 3) },
		"file of dist gone": func(i Installation) error {
			return os.Remove(filepath.Join(filepath.Dir(i.Entry), "dist", "index.js"))
		},
		"other version": func(i Installation) error {
			path := filepath.Join(i.Dir, "manifest.json")
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.Replace(string(b), DefaultVersion, "2026.1.1", 1)), 0o600)
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newFakeDir(t)
			in := testInstaller(t.TempDir(), d)
			got, err := in.Install(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(got); err != nil {
				t.Fatal(err)
			}
			if got, err = in.Install(t.Context()); err != nil || got.Reused {
				t.Fatalf("Install of a damaged one = %+v, %v", got, err)
			}
			if got, err = in.Install(t.Context()); err != nil || !got.Reused {
				t.Errorf("Install of a repaired one = %+v, %v", got, err)
			}
			assertClean(t, in.Layout)
		})
	}
}

func TestInstallErrors(t *testing.T) {
	tests := map[string]struct {
		prepare func(*testing.T, fakeDir, *Installer)
		want    Reason
		text    string // in the message
		runs    int    // of npm install
	}{
		"registry down": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) {
				for i := range 5 {
					d.write(t, fmt.Sprintf("fail-%d", i+1), "npm error code ENOTFOUND\nnpm error network request to https://registry.test failed")
				}
			},
			want: ReasonRegistry, text: "npm ping", runs: 3,
		},
		"registry down once": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) { d.write(t, "fail-1", "npm error code ECONNRESET") },
			runs:    3,
		},
		"disk full on the way": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) {
				d.write(t, "fail-2", "npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device, write")
			},
			want: ReasonSpace, text: "make room", runs: 2,
		},
		"read-only file system": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) {
				d.write(t, "fail-1", "npm error code EROFS\nnpm error EROFS: read-only file system")
			},
			want: ReasonReadOnly, text: "writable", runs: 1,
		},
		"no such version": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) {
				d.write(t, "fail-2", "npm error code ETARGET\nnpm error notarget No matching version found")
			},
			want: ReasonVersion, text: "min-release-age", runs: 2,
		},
		"login needed": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) { d.write(t, "fail-1", "npm error code E401") },
			want:    ReasonRefused, text: "npm config list", runs: 1,
		},
		"unknown failure": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) {
				for i := range 5 {
					d.write(t, fmt.Sprintf("fail-%d", i+1), "npm error Exit handler never called!\nnpm error GET https://me:hunter2hunter2@registry.test/openclaw")
				}
			},
			want: ReasonNPMFailed, text: "Exit handler never called!", runs: 3,
		},
		"forged package": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) { d.write(t, "integrity", "sha512-forged") },
			want:    ReasonIntegrity, text: "sha512-forged", runs: 1,
		},
		"npm too old": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) { d.write(t, "version", "6.14.18") },
			want:    ReasonNPMTooOld, text: "6.14.18",
		},
		"npm talks nonsense": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) { d.write(t, "version", "what?") },
			want:    ReasonNPMFailed, text: "what?",
		},
		"npm missing": {
			prepare: func(t *testing.T, _ fakeDir, in *Installer) {
				in.NPM = ""
				t.Setenv("PATH", t.TempDir())
			},
			want: ReasonNPMMissing, text: "install Node.js with npm",
		},
		"npm cannot be run": {
			prepare: func(_ *testing.T, _ fakeDir, in *Installer) { in.NPM = "/nonexistent/npm" },
			want:    ReasonNPMFailed, text: "/nonexistent/npm",
		},
		"wrong machine": {
			prepare: func(_ *testing.T, _ fakeDir, in *Installer) { in.platform = "linux/riscv64" },
			want:    ReasonPlatform, text: "linux/riscv64",
		},
		"no exact version": {
			prepare: func(_ *testing.T, _ fakeDir, in *Installer) { in.Version = "latest" },
			want:    ReasonVersion, text: "latest",
		},
		"version with a path": {
			prepare: func(_ *testing.T, _ fakeDir, in *Installer) { in.Version = "2026/../../x" },
			want:    ReasonVersion,
		},
		"too little room": {
			prepare: func(_ *testing.T, _ fakeDir, in *Installer) {
				in.space = func(string) (unix.Statfs_t, error) { return unix.Statfs_t{Bsize: 4096, Bavail: 1 << 18}, nil }
			},
			want: ReasonSpace, text: "1024 MiB free",
		},
		"too few inodes": {
			prepare: func(_ *testing.T, _ fakeDir, in *Installer) {
				in.space = func(string) (unix.Statfs_t, error) {
					return unix.Statfs_t{Bsize: 4096, Bavail: 1 << 30, Files: 100_000, Ffree: 100}, nil
				}
			},
			want: ReasonSpace, text: "100 more files",
		},
		"a file in the way": {
			prepare: func(t *testing.T, _ fakeDir, in *Installer) {
				if err := os.WriteFile(in.Layout.Root, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			want: ReasonDisk, text: "not a directory",
		},
		"OpenClaw says another version": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) { d.write(t, "says", "2026.9.60") },
			want:    ReasonBroken, text: "2026.9.60", runs: 2,
		},
		"OpenClaw not finished": {
			prepare: func(t *testing.T, d fakeDir, _ *Installer) { d.write(t, "pending", "yes") },
			want:    ReasonBroken, text: "did not finish", runs: 2,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := newFakeDir(t)
			in := testInstaller(t.TempDir(), d)
			test.prepare(t, d, in)
			got, err := in.Install(t.Context())
			if runs := len(d.runs()); runs != test.runs {
				t.Errorf("npm was run %d times, want %d", runs, test.runs)
			}
			if test.want == "" {
				if err != nil {
					t.Errorf("Install: %v", err)
				}
				return
			}
			failure, ok := errors.AsType[*InstallError](err)
			if !ok || failure.Reason != test.want {
				t.Fatalf("Install = %+v, %#v; want reason %s", got, err, test.want)
			}
			text := failure.Error()
			if !strings.HasPrefix(text, "cannot ") || !strings.Contains(text, test.text) || failure.Next == "" || !strings.Contains(text, failure.Next) {
				t.Errorf("the message lacks something (%q): %s", test.text, text)
			}
			if strings.Contains(text, "hunter2") {
				t.Errorf("a secret is in the message: %s", text)
			}
			if test.runs > 0 {
				assertLog(t, failure)
			}
			if _, err := os.Stat(filepath.Join(in.Layout.versions(), DefaultVersion+"-node"+NodeVersion)); err == nil {
				t.Error("there is an installation nevertheless")
			}
		})
	}
}

// assertLog checks that the log that an error names holds npm's output, for
// the owner alone, without secrets.
func assertLog(t *testing.T, failure *InstallError) {
	t.Helper()
	info, err := os.Stat(failure.Log)
	if err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(failure.Error(), failure.Log) {
		t.Fatalf("log %q: %v, %v", failure.Log, info, err)
	}
	b, err := os.ReadFile(failure.Log)
	if err != nil || !strings.Contains(string(b), "--ignore-scripts") || strings.Contains(string(b), "hunter2") {
		t.Errorf("log: %v\n%s", err, b)
	}
}

// A folder that the user may not write to. For root the kernel checks no
// permissions, so the thread gives them up (setfsuid(2) is per thread; the
// thread ends with the goroutine, because it stays locked).
func TestInstallReadOnlyFolder(t *testing.T) {
	data := t.TempDir()
	if err := os.Chmod(data, 0o555); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 1)
	installer := testInstaller(data, newFakeDir(t))
	go func() {
		goruntime.LockOSThread()
		if os.Geteuid() == 0 {
			if _, err := unix.SetfsuidRetUid(65534); err != nil {
				errs <- err
				return
			}
		}
		_, err := installer.Install(context.Background())
		errs <- err
	}()
	err := <-errs
	if failure, ok := errors.AsType[*InstallError](err); !ok || failure.Reason != ReasonReadOnly || !strings.Contains(failure.Next, "--data-dir") {
		t.Errorf("Install = %v", err)
	}
}

func TestDiskError(t *testing.T) {
	tests := map[syscall.Errno]Reason{
		syscall.ENOSPC: ReasonSpace, syscall.EDQUOT: ReasonSpace,
		syscall.EACCES: ReasonReadOnly, syscall.EPERM: ReasonReadOnly, syscall.EROFS: ReasonReadOnly,
		syscall.EIO: ReasonDisk, syscall.ENOTDIR: ReasonDisk,
	}
	for errno, want := range tests {
		err := diskError("x", &fs.PathError{Op: "mkdir", Path: "/p", Err: errno})
		if failure, ok := errors.AsType[*InstallError](err); !ok || failure.Reason != want || !errors.Is(err, errno) {
			t.Errorf("%v: %v, want %s", errno, err, want)
		}
	}
}

func TestNPMEnv(t *testing.T) {
	got := npmEnv([]string{
		"HOME=/h", "PATH=/bin", "npm_config_registry=http://r.test", "NPM_CONFIG_CAFILE=/ca", "https_proxy=http://p.test",
		"NPM_CONFIG_GLOBAL=true", "npm_config_prefix=/usr", "npm_lifecycle_event=start", "npm_config_allow_scripts=x",
		"NODE_OPTIONS=--inspect", "CREEL_SECRET=s", "INIT_CWD=/w",
	})
	want := []string{"HOME=/h", "PATH=/bin", "npm_config_registry=http://r.test", "NPM_CONFIG_CAFILE=/ca", "https_proxy=http://p.test"}
	if !slices.Equal(got, want) {
		t.Errorf("npmEnv = %q, want %q", got, want)
	}
}

func TestRetry(t *testing.T) {
	pauses := []time.Duration{time.Second, 5 * time.Second}
	down := &InstallError{Reason: ReasonRegistry}
	tests := map[string]struct {
		errs  []error
		tries int
		took  time.Duration
		want  error
	}{
		"first":       {[]error{nil}, 1, 0, nil},
		"second":      {[]error{down, nil}, 2, time.Second, nil},
		"never":       {[]error{down, down, down}, 3, 6 * time.Second, down},
		"for good":    {[]error{&InstallError{Reason: ReasonSpace}}, 1, 0, &InstallError{Reason: ReasonSpace}},
		"not of npm":  {[]error{fs.ErrInvalid}, 1, 0, fs.ErrInvalid},
		"ctx ends it": {[]error{down, context.Canceled}, 2, time.Second, context.Canceled},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, tries, again := time.Now(), 0, 0
				err := retry(t.Context(), pauses, func(*InstallError) { again++ }, func() error { tries++; return test.errs[tries-1] })
				if fmt.Sprint(err) != fmt.Sprint(test.want) || tries != test.tries || again != tries-1 || time.Since(began) != test.took {
					t.Errorf("%v after %d tries (%d announced) and %v", err, tries, again, time.Since(began))
				}
			})
		})
	}
	t.Run("the pause ends with ctx", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := retry(ctx, pauses, func(*InstallError) {}, func() error { return down })
			if !errors.Is(err, down) || time.Since(began) != 300*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
}

// A person sees life at least once a second.
func TestReporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		r := startReporter(func(p Progress) { got = append(got, fmt.Sprint(p.Phase, " ", p.Elapsed, " ", p.Total)) })
		time.Sleep(heartbeat + heartbeat/2) // virtual time; no step yet, so nothing is told
		r.step(PhaseNode, "a")
		time.Sleep(2 * heartbeat)
		r.step(PhaseOpenClaw, "b")
		synctest.Wait()
		r.stop()
		time.Sleep(3 * heartbeat)
		want := []string{"node 0s 1.5s", "node 500ms 2s", "node 1.5s 3s", "openclaw 0s 3.5s"}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// Old logs go, the newest stay, and so does what is no log. A data folder may have any
// name.
func TestRunLogKeepsFew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bots [a]*")
	other := filepath.Join(dir, "install.log")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(other, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var last string
	for range keptLogs + 3 {
		l, err := newRunLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		last = l.path
		if err := l.file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(dir) // by name, which is by time
	if err != nil || len(left) != keptLogs+1 || filepath.Join(dir, left[keptLogs-1].Name()) != last || left[keptLogs].Name() != "install.log" {
		t.Errorf("left: %q, %v", left, err)
	}
}

// An error shows what the last program said, npm's own errors first.
func TestExplain(t *testing.T) {
	long := strings.Repeat("npm error detail\n", 20)
	tests := map[string]struct{ log, want string }{
		"npm": {
			"$ npm --version\n11.0.0\n# exit status 0\n$ npm install\nnpm warn old\nnpm http fetch GET 200\nnpm error code E\nnpm error\nnpm error why\nnpm error A complete log of this run\n# exit status 1\n",
			"  npm error code E\n  npm error why",
		},
		"the first errors":   {"$ npm\nnpm error code E\n" + long, "  npm error code E" + strings.Repeat("\n  npm error detail", explainLines-1)},
		"npm 9":              {"$ npm\nnpm ERR! code E\nnoise\n", "  npm ERR! code E"},
		"another program":    {"$ npm\nnpm error old\n$ node\nSyntaxError\n\n    at x\n# exit status 1\n", "  SyntaxError\n  at x"},
		"it said not a word": {"$ node\n# signal: killed\n", ""},
	}
	for name, test := range tests {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(test.log), 0o600); err != nil {
			t.Fatal(err)
		}
		if e := (&runLog{path: path}).explain(&InstallError{}); e.Tail != test.want || e.Log != path {
			t.Errorf("%s: %q, want %q", name, e.Tail, test.want)
		}
	}
}

func TestLineWriter(t *testing.T) {
	var file strings.Builder
	w := &lineWriter{file: &file}
	for _, part := range []string{"one\ntw", "o\nhttps://me:hunter2", "hunter2@r.test/\n", "end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.flush()
	got := file.String()
	if !strings.HasPrefix(got, "one\ntwo\nhttps://") || strings.Contains(got, "hunter2") || !strings.HasSuffix(got, "@r.test/\nend\n") || w.kept.String() != got {
		t.Errorf("passed on %q, kept %q", got, w.kept.String())
	}
	// A line without an end is not collected for ever, nor is the output.
	for range 100 {
		if _, err := w.Write([]byte(strings.Repeat("x", 10_000))); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.part) > longLine || w.kept.Len() > 2*tailBytes+longLine {
		t.Errorf("%d bytes of a line, %d bytes of output are kept", len(w.part), w.kept.Len())
	}
}
