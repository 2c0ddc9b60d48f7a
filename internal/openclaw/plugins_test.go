package openclaw

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// putPlugin puts a plugin where OpenClaw does.
func putPlugin(t *testing.T, l Layout, plugin string) {
	t.Helper()
	dir := filepath.Join(l.State(), "npm", "projects", strings.ReplaceAll(strings.TrimPrefix(plugin, "@"), "/", "-")+"-0123", "node_modules", plugin)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPluginInstaller(t *testing.T) {
	const plugin, spec = "@openclaw/discord", "npm:@openclaw/discord@2026.9.6"
	refused := errors.New("exit status 1")
	for name, tt := range map[string]struct {
		there    bool // before
		succeeds int  // attempt that it is there after, from 1; 0: none
		says     error
		attempts int
		fails    bool
	}{
		"there":          {there: true},
		"installed":      {succeeds: 1, attempts: 1},
		"a bad registry": {succeeds: 3, says: refused, attempts: 3},
		// With "plugin already exists", since OpenClaw was there first.
		"installed with an error": {succeeds: 1, says: refused, attempts: 1},
		"never":                   {says: refused, attempts: 4, fails: true},
		"said to be there":        {attempts: 4, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			if tt.there {
				putPlugin(t, l, plugin)
			}
			attempts, again := 0, 0
			in := &PluginInstaller{
				Layout: l, Version: "2026.9.6", pauses: make([]time.Duration, 3),
				Again: func(string, error, time.Duration) { again++ },
				Run: func(_ context.Context, args ...string) (string, error) {
					if !slices.Equal(args, []string{"plugins", "install", spec}) {
						t.Errorf("%q", args)
					}
					if attempts++; attempts == tt.succeeds {
						putPlugin(t, l, plugin)
					}
					return "Downloading…\ngetaddrinfo ENOTFOUND", tt.says
				},
			}
			err := in.Install(t.Context(), plugin)
			failure, failed := errors.AsType[*PluginError](err)
			if failed != tt.fails || err != nil && !failed || attempts != tt.attempts || again != max(0, tt.attempts-1) {
				t.Errorf("%v after %d attempts, %d of them again", err, attempts, again)
			}
			if failed && failure.Attempts != attempts {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("called off", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := &PluginInstaller{Layout: newLayout(t), Run: func(context.Context, ...string) (string, error) { cancel(); return "", refused }}
		if err := in.Install(ctx, plugin); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// Where nothing answers, an attempt takes all the time that there is: a start waits for
// that once, not once for each attempt.
func TestPluginInstallerIsBounded(t *testing.T) {
	for brief, most := range map[bool]time.Duration{false: pluginTime, true: briefPluginTime} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			in := &PluginInstaller{Layout: newLayout(t), Brief: brief, Run: func(ctx context.Context, _ ...string) (string, error) {
				<-ctx.Done()
				return "", context.Cause(ctx)
			}}
			err := in.Install(t.Context(), "@openclaw/discord")
			if failure, ok := errors.AsType[*PluginError](err); !ok || failure.Attempts != 1 {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > most {
				t.Errorf("a start was kept for %v", took)
			}
		})
	}
}

// A pause between two attempts is cut short, too, where time is over.
func TestPluginInstallerIsBoundedInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		in := &PluginInstaller{Layout: newLayout(t), pauses: []time.Duration{time.Second, time.Hour}, Run: func(context.Context, ...string) (string, error) {
			return "", errors.New("exit status 1")
		}}
		err := in.Install(t.Context(), "@openclaw/discord")
		if failure, ok := errors.AsType[*PluginError](err); !ok || failure.Attempts != 2 || time.Since(began) != pluginTime {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A data folder may have any name.
func TestHasPluginInAnyFolder(t *testing.T) {
	l, err := LayoutIn(filepath.Join(t.TempDir(), "bots [*]"))
	if err != nil {
		t.Fatal(err)
	}
	if HasPlugin(l, "@openclaw/discord") {
		t.Error("a plugin is there before it is installed")
	}
	putPlugin(t, l, "@openclaw/discord")
	if !HasPlugin(l, "@openclaw/discord") || HasPlugin(l, "@openclaw/slack") {
		t.Error("the plugin that is there is not found, or another one is")
	}
}

// killed is the end of a program that was killed.
func killed(t *testing.T) error {
	t.Helper()
	err := exec.Command("sh", "-c", "kill -9 $$").Run()
	if err == nil {
		t.Fatal("a program that was killed has ended well")
	}
	return err
}

// What an installation leaves that was cut off is no plugin: npm writes package.json long
// before it is done. The next one begins anew.
func TestPluginCutShort(t *testing.T) {
	const plugin = "@openclaw/discord"
	for name, tt := range map[string]struct {
		end  func(t *testing.T, callOff func()) error // of the first attempt
		once bool                                     // there is no other attempt in the same start
	}{
		"called off": {func(_ *testing.T, callOff func()) error { callOff(); return context.Canceled }, true},
		"killed":     {func(t *testing.T, _ func()) error { return killed(t) }, false},
		"creel died": {func(*testing.T, func()) error { panic("creel died") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			ctx, callOff := context.WithCancel(t.Context())
			defer callOff()
			attempts := 0
			in := &PluginInstaller{Layout: l, pauses: make([]time.Duration, 1), Run: func(context.Context, ...string) (string, error) {
				attempts++
				if files := len(pluginProjects(l, plugin)); files > 0 {
					t.Errorf("attempt %d begins on what the one before has left", attempts)
				}
				putPlugin(t, l, plugin)
				if attempts == 1 {
					return "", tt.end(t, callOff)
				}
				return "", nil
			}}
			func() {
				defer func() { _ = recover() }()
				if err := in.Install(ctx, plugin); err == nil && tt.once {
					t.Error("it is installed, says Install")
				}
			}()
			if tt.once && HasPlugin(l, plugin) {
				t.Error("a plugin that is there in part is taken for whole")
			}
			if err := in.Install(t.Context(), plugin); err != nil || !HasPlugin(l, plugin) || attempts != 2 {
				t.Errorf("%v after %d attempts", err, attempts)
			}
		})
	}
	t.Run("another plugin", func(t *testing.T) {
		l := newLayout(t)
		putPlugin(t, l, "@openclaw/slack")
		in := &PluginInstaller{Layout: l, pauses: []time.Duration{}, Run: func(context.Context, ...string) (string, error) {
			putPlugin(t, l, plugin)
			return "", killed(t)
		}}
		if _, ok := errors.AsType[*PluginError](in.Install(t.Context(), plugin)); !ok || HasPlugin(l, plugin) || !HasPlugin(l, "@openclaw/slack") {
			t.Error("what was installed in part stays, or what was whole does not")
		}
		putPlugin(t, l, plugin) // by hand
		if !HasPlugin(l, plugin) {
			t.Error("a plugin that was put there by hand afterwards is not taken for one")
		}
	})
}
