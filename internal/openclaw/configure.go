package openclaw

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"

	"creel/internal/telemetry"
)

// Settings is what creel decides for OpenClaw.
type Settings struct {
	// Port is the TCP port on 127.0.0.1 that the gateway will listen on.
	Port int
	// Origins are those at which browsers see the gateway: creel's own public
	// addresses, such as "http://127.0.0.1:8080" (see Origins). They are added
	// to the origins that are allowed already. One that is not in the list is
	// still accepted if it is on loopback and the client is local.
	Origins []string
	// Token is the shared token that the gateway is to have unless a person has
	// changed it in openclaw.json; empty: creel makes one.
	Token telemetry.Secret
	// TokenMode is Default, or Own: Token wins, always.
	TokenMode Mode
	// Extra are settings that others have a use for: providers, channels.
	Extra []Setting
}

// Configured is the outcome of Configure.
type Configured struct {
	Token   telemetry.Secret // the gateway's shared token
	Created bool             // there was no configuration before
	Changed bool             // the file was written
	Bare    bool             // Created, with creel's own keys alone, which are known to be valid
	// Notes are for a person: what was left alone, and why.
	Notes []string
}

// ConfigReason says in a stable word why a configuration was left alone.
type ConfigReason string

// The reasons.
const (
	ConfigUnreadable ConfigReason = "unreadable" // a folder, no permission, a dangling link
	ConfigSyntax     ConfigReason = "syntax"     // not JSON5
	ConfigConflict   ConfigReason = "conflict"   // it holds something that creel cannot work with
	ConfigReadOnly   ConfigReason = "read_only"  // it may not be written
	ConfigInvalid    ConfigReason = "invalid"    // OpenClaw does not start with it
)

// ConfigError says that the configuration could not be brought into the state
// that creel needs. The file is as it was.
type ConfigError struct {
	Path   string
	Reason ConfigReason
	Detail string // what is wrong; may be empty
	Next   string // the next step
	Err    error  // the underlying error; may be nil
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("cannot configure OpenClaw: ")
	b.WriteString(e.Path)
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String() + "; " + e.Next
}

func (e *ConfigError) Unwrap() error { return e.Err }

// BackupSuffix is added to the name of openclaw.json for the copy of what was
// there before creel's last change. OpenClaw keeps its own copies in
// openclaw.json.bak, .bak.1 and so on, and moves them along; creel's is not
// among them.
const BackupSuffix = ".creel.bak"

// Configure makes OpenClaw's folders and its configuration, or changes the keys
// that creel owns in the configuration that is there:
//
//	gateway.mode                       "local"
//	gateway.port                       Settings.Port
//	gateway.bind                       "loopback": creel is the way in
//	gateway.auth.mode                  "token"
//	gateway.auth.token                 made once; one that is there is kept
//	gateway.trustedProxies             127.0.0.1 and ::1 are added
//	gateway.controlUi.allowedOrigins   Settings.Origins are added
//	logging.file                       a file of this data folder
//
// It is called before an instance is started, never while one runs. The error
// is a *ConfigError if a person has to act on the file.
func Configure(l Layout, s Settings) (Configured, error) {
	if err := l.makeFolders(); err != nil {
		return Configured{}, err
	}
	file, err := readConfig(l.Config())
	if err != nil {
		return Configured{}, err
	}
	merged, token, changed, err := file.prepare(l, s)
	if err != nil {
		return Configured{}, err
	}
	if changed {
		if err := file.write(); err != nil {
			return Configured{}, err
		}
	} else if err := file.protect(); err != nil {
		return Configured{}, err
	}
	if err := merged.remember(); err != nil {
		return Configured{}, err
	}
	return Configured{Token: token, Created: file.before == nil, Changed: changed, Bare: file.before == nil && len(s.Extra) == 0, Notes: merged.notes}, nil
}

// prepare makes the settings in the document, and writes down what will be there
// before the file itself is written.
func (f *configFile) prepare(l Layout, s Settings) (m *merge, token telemetry.Secret, changed bool, err error) {
	if m, err = f.recall(); err != nil {
		return nil, "", false, err
	}
	if token, err = chooseToken(l, f, m, s); err != nil {
		return nil, "", false, err
	}
	if changed, err = f.apply(ownedSettings(l, s, token)); err != nil {
		return nil, "", false, err
	}
	if err := f.merge(m, s.Extra); err != nil {
		return nil, "", false, err
	}
	// The token is on disk before the configuration that needs it. The other
	// way round, a creel that dies in between would make another one.
	if err := keepToken(l.TokenFile(), token); err != nil {
		return nil, "", false, err
	}
	return m, token, changed || m.changed, m.announce()
}

// setting is one owned key.
type setting struct {
	path  []string
	value any      // string or int: the value; nil: add is meant
	add   []string // strings that the list must contain
}

func ownedSettings(l Layout, s Settings, token telemetry.Secret) []setting {
	return []setting{
		{path: []string{"gateway", "mode"}, value: "local"},
		{path: []string{"gateway", "port"}, value: s.Port},
		{path: []string{"gateway", "bind"}, value: "loopback"},
		{path: []string{"gateway", "auth", "mode"}, value: "token"},
		{path: []string{"gateway", "auth", "token"}, value: token.Reveal()},
		{path: []string{"gateway", "trustedProxies"}, add: []string{"127.0.0.1", "::1"}},
		{path: []string{"gateway", "controlUi", "allowedOrigins"}, add: s.Origins},
		{path: []string{"logging", "file"}, value: l.GatewayLog()},
	}
}

// makeFolders makes the folders that an instance needs. They are for the owner
// alone: the state holds tokens and conversations.
func (l Layout) makeFolders() error {
	for _, dir := range []string{l.Root, l.Home(), l.State(), l.Tmp(), l.Logs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("cannot make a folder for OpenClaw: %w", err)
		}
	}
	return nil
}

// configFile is openclaw.json while it is being changed.
type configFile struct {
	path   string      // links resolved: a rename would replace the link
	before []byte      // nil: there is no file
	mode   fs.FileMode // of the file
	doc    document
}

func readConfig(path string) (*configFile, error) {
	f := &configFile{path: path}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		f.path = resolved
	} else if _, lerr := os.Lstat(path); lerr == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil, f.fail(ConfigUnreadable, "", "correct the link", err)
	}
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.doc = newDocument()
		return f, nil
	}
	if err != nil {
		return nil, f.fail(ConfigUnreadable, "", "make it readable for the user that runs creel", err)
	}
	if !info.Mode().IsRegular() {
		return nil, f.fail(ConfigUnreadable, "it is no file ("+info.Mode().Type().String()+")", "move it away; creel writes a new one", nil)
	}
	f.mode = info.Mode()
	if f.before, err = os.ReadFile(f.path); err != nil {
		return nil, f.fail(ConfigUnreadable, "", "make it readable for the user that runs creel", err)
	}
	if f.doc, err = parseDocument(f.before); err != nil {
		return nil, f.fail(ConfigSyntax, "it is not JSON5",
			"correct it, or move it away and creel writes a new one", err)
	}
	return f, nil
}

// apply makes the settings and reports whether anything was not so before.
func (f *configFile) apply(settings []setting) (bool, error) {
	// creel speaks plain HTTP to 127.0.0.1.
	if f.doc.isTrue("gateway", "tls", "enabled") {
		return false, f.fail(ConfigConflict, "gateway.tls.enabled is true, and creel speaks plain HTTP to the gateway on loopback", "remove gateway.tls", nil)
	}
	changed := false
	for _, s := range settings {
		var did bool
		var err error
		if s.value == nil {
			did, err = f.doc.add(s.path, s.add)
		} else {
			did, err = f.doc.set(s.path, s.value)
		}
		if err != nil {
			return false, f.fail(ConfigConflict, "", "correct it", err)
		}
		changed = changed || did
	}
	return changed || f.before == nil, nil
}

// write replaces the file, after keeping what was there.
func (f *configFile) write() error {
	if f.before != nil {
		// A rename asks only for the folder's permission. The owner who took
		// away the right to write to the file meant the file.
		if f.mode&0o200 == 0 {
			return f.fail(ConfigReadOnly, "it is read-only, and creel has to change it", "allow its owner to write to it (chmod u+w)", nil)
		}
		if err := writeFile(f.path+BackupSuffix, f.before); err != nil {
			return f.fail(ConfigReadOnly, "", "make its folder writable", err)
		}
	}
	if err := writeFile(f.path, f.doc.bytes()); err != nil {
		return f.fail(ConfigReadOnly, "", "make its folder writable", err)
	}
	return nil
}

// protect takes the file's permissions from group and others: it holds the
// token. What is written anew has the right mode by itself.
func (f *configFile) protect() error {
	if f.mode&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(f.path, f.mode.Perm()&^0o077); err != nil {
		return f.fail(ConfigReadOnly, "other users can read the token in it", "take that right from them (chmod 600)", err)
	}
	return nil
}

func (f *configFile) fail(reason ConfigReason, detail, next string, err error) error {
	// The path is in the message already.
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	if errors.Is(err, syscall.EROFS) {
		next = "make its file system writable"
	}
	return &ConfigError{Path: f.path, Reason: reason, Detail: detail, Next: next, Err: err}
}

// writeFile writes a file that only its owner can read, durably, by rename.
// renameio.WriteFile would take over the permissions of the file that it
// replaces, and look for a temporary folder elsewhere.
func writeFile(path string, data []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithStaticPermissions(0o600), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return err
	}
	// After the rename this does nothing; before it, an error is on its way.
	defer func() { _ = f.Cleanup() }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// marshal is json.Marshal for values that cannot fail: strings and integers.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("openclaw: " + err.Error())
	}
	return b
}
