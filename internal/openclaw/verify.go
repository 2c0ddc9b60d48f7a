package openclaw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lifecycleMarker is what OpenClaw's package ships as long as its install
// scripts have not been run.
const lifecycleMarker = ".openclaw-lifecycle-pending"

// verifyNode runs the Node.js that was installed.
func verifyNode(ctx context.Context, t tree, s spec, n *npm) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	out, err := n.log.run(ctx, command{path: t.node(), args: []string{"--version"}, dir: t.root, env: bareEnv(t, t.root)})
	if err != nil {
		failure := &InstallError{Reason: ReasonBroken, Detail: "the installed Node.js does not run", Err: err, Next: nextRetry}
		// The kernel's words for a missing program interpreter, the C library's
		// loader, are those for a missing program.
		_, statErr := os.Stat(t.node())
		if errors.Is(err, syscall.ENOEXEC) || errors.Is(err, fs.ErrNotExist) && statErr == nil || strings.Contains(out, "GLIBC_") {
			failure.Reason = ReasonPlatform
			failure.Detail = "Node.js " + s.nodeVersion + " does not run on this system"
			failure.Next = "use a Linux with glibc 2.28 or later (not musl), or run the gateway with a command of your own (creel run)"
		}
		return n.log.explain(failure)
	}
	if got := lastLine(out); got != "v"+s.nodeVersion {
		return n.log.explain(&InstallError{Reason: ReasonBroken, Detail: fmt.Sprintf("the installed Node.js is %q instead of v%s", got, s.nodeVersion), Next: nextRetry})
	}
	return nil
}

// verifyOpenClaw runs the OpenClaw that was installed. Its launcher then runs
// the package's install scripts, which npm was told not to.
func verifyOpenClaw(ctx context.Context, t tree, s spec, stage string, n *npm) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	home := filepath.Join(stage, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return diskError("make a folder", err)
	}
	out, err := n.log.run(ctx, command{path: t.node(), args: []string{t.entry(), "--version"}, dir: home, env: bareEnv(t, home)})
	if err != nil {
		return n.log.explain(&InstallError{Reason: ReasonBroken, Detail: "the installed OpenClaw does not run", Err: err, Next: nextRetry})
	}
	// "OpenClaw 2026.9.6 (eb377ac)"
	if !strings.Contains(lastLine(out)+" ", "OpenClaw "+s.version+" ") {
		return n.log.explain(&InstallError{Reason: ReasonBroken, Detail: fmt.Sprintf("the installed OpenClaw says %q and not version %s", lastLine(out), s.version), Next: nextRetry})
	}
	if _, err := os.Lstat(filepath.Join(t.openclaw(), lifecycleMarker)); err == nil {
		return n.log.explain(&InstallError{Reason: ReasonBroken, Detail: "OpenClaw did not finish its own installation", Next: nextRetry})
	}
	return nil
}

// bareEnv is the environment for trying what was installed: nothing of the
// user's, above all no keys.
func bareEnv(t tree, home string) []string {
	return []string{
		"PATH=" + prependPath(filepath.Dir(t.node()), ""),
		"HOME=" + home,
		"TMPDIR=" + home,
		"LANG=C.UTF-8",
		"OPENCLAW_NO_AUTO_UPDATE=1",
	}
}
