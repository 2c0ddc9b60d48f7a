package chaos

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// keepHistory copies what explains a failure: all files of the world, creel's
// output and journal among them, and what the clients saw.
func (w *world) keepHistory() {
	dir := filepath.Join(flags.artifacts, strings.ReplaceAll(w.T.Name(), "/", "-"))
	if err := os.RemoveAll(dir); err != nil { // of an earlier run
		w.T.Error(err)
	}
	if err := filepath.WalkDir(w.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		to := filepath.Join(dir, strings.TrimPrefix(path, w.Dir))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	}); err != nil {
		w.T.Errorf("not everything could be kept: %v", err)
	}
	var clients bytes.Buffer
	out := json.NewEncoder(&clients)
	for _, o := range w.history {
		if err := out.Encode(o); err != nil {
			w.T.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "history.jsonl"), clients.Bytes(), 0o644); err != nil {
		w.T.Error(err)
	}
	var requests strings.Builder
	for _, r := range w.requests {
		requests.WriteString(r.Sent.Format("15:04:05.000000") + " " + r.Ended.Format("15:04:05.000000") + " " + r.String() + "\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "requests.txt"), []byte(requests.String()), 0o644); err != nil {
		w.T.Error(err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	w.T.Logf("the history is in %s", abs)
}
