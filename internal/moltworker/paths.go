package moltworker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/tailscale/hujson"

	"creel/internal/snapshot/tree"
)

// moved maps folders of moltworker's container to those of a home, the longest
// first.
var moved = []struct{ from, to string }{
	{"/root/.openclaw", ".openclaw"},
	{"/root/.clawdbot", ".openclaw"},
	{"/root/clawd", "clawd"},
	{"/home/openclaw/.clawdbot", ".openclaw"},
	{"/home/openclaw", ""},
}

// translate gives the new path of one in the container; false: it is another one.
func translate(p, home string) (string, bool) {
	for _, m := range moved {
		if p == m.from || strings.HasPrefix(p, m.from+"/") {
			return path.Join(home, m.to) + strings.TrimPrefix(p, m.from), true
		}
	}
	return p, false
}

// Rewritten is a path that was changed.
type Rewritten struct {
	Where string `json:"where"` // JSON pointer in openclaw.json, or the path of a link
	From  string `json:"from"`
	To    string `json:"to"`
}

const configPath = rootName + "/.openclaw/openclaw.json"

// rewrite changes the paths of the container to those of home, in openclaw.json
// and in symbolic links. note, if not empty, says why openclaw.json was left as
// it is.
func (f *files) rewrite(ctx context.Context, home string) (done []Rewritten, note string, err error) {
	for at, i := range f.items {
		if i.Kind != tree.Symlink {
			continue
		}
		if to, ok := translate(i.Target, home); ok {
			done = append(done, Rewritten{strings.TrimPrefix(at, rootName+"/"), i.Target, to})
			i.Target = to
			f.items[at] = i
		}
	}
	config, ok := f.items[configPath]
	if !ok || config.Kind != tree.File {
		return done, "there is no openclaw.json; OpenClaw starts with a new one", nil
	}
	text, err := f.read(ctx, configPath)
	if err != nil {
		return nil, "", err
	}
	doc, perr := hujson.Parse(text)
	if perr != nil {
		return done, fmt.Sprintf("openclaw.json was left as it is, since it is no JSON (%v); correct the paths in it by hand", perr), nil
	}
	inConfig := rewriteValue(&doc, "", home)
	set, err := f.nameWorkspace(&doc, home)
	if err != nil {
		return nil, "", fmt.Errorf("cannot name the workspace in openclaw.json: %w", err)
	}
	if inConfig = append(inConfig, set...); len(inConfig) > 0 {
		f.replace(configPath, doc.Pack())
	}
	return append(done, inConfig...), "", nil
}

func (f *files) read(ctx context.Context, path string) (text []byte, err error) {
	r, err := f.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.LimitReader(r, maxText))
}

// rewriteValue changes the strings of a document that are paths.
func rewriteValue(v *hujson.Value, at, home string) (done []Rewritten) {
	switch x := v.Value.(type) {
	case hujson.Literal:
		if x.Kind() != '"' {
			return nil
		}
		from := x.String()
		if to, ok := translate(from, home); ok {
			v.Value = hujson.String(to)
			return []Rewritten{{at, from, to}}
		}
	case *hujson.Object:
		for i := range x.Members {
			m := &x.Members[i]
			name, _ := m.Name.Value.(hujson.Literal)
			done = append(done, rewriteValue(&m.Value, at+"/"+escape(name.String()), home)...)
		}
	case *hujson.Array:
		for i := range x.Elements {
			done = append(done, rewriteValue(&x.Elements[i], fmt.Sprintf("%s/%d", at, i), home)...)
		}
	}
	return done
}

// escape makes a name part of a JSON pointer, RFC 6901 §3.
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

const workspacePointer = "/agents/defaults/workspace"

// nameWorkspace names the imported workspace where the configuration names none:
// later versions of OpenClaw look for it elsewhere, and would begin a blank one.
func (f *files) nameWorkspace(doc *hujson.Value, home string) ([]Rewritten, error) {
	if _, has := f.items[rootName+"/clawd"]; !has || doc.Find(workspacePointer) != nil {
		return nil, nil
	}
	to := path.Join(home, "clawd")
	value, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	var patch []string
	for _, above := range []string{"/agents", "/agents/defaults"} {
		if doc.Find(above) == nil {
			patch = append(patch, fmt.Sprintf(`{"op":"add","path":%q,"value":{}}`, above))
		}
	}
	patch = append(patch, fmt.Sprintf(`{"op":"add","path":%q,"value":%s}`, workspacePointer, value))
	if err := doc.Patch([]byte("[" + strings.Join(patch, ",") + "]")); err != nil {
		return nil, err
	}
	return []Rewritten{{Where: workspacePointer, To: to}}, nil
}
