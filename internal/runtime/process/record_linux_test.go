package process

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// sampleRecord is one that r would trust.
func sampleRecord(r *Runtime) runtime.Record {
	return runtime.Record{
		Version: recordVersion, Gateway: "contract", Generation: 3, PID: 1 << 22, StartTime: 5,
		BootID: r.bootID, Port: 18789, Command: []string{"x"}, Host: r.record.host, DataDir: r.record.dataDir,
	}
}

func TestFindRefusesRecord(t *testing.T) {
	change := func(f func(*runtime.Record)) func(*Runtime) []byte {
		return func(r *Runtime) []byte {
			rec := sampleRecord(r)
			f(&rec)
			data, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	anyCgroup := "/sys/fs/cgroup" // a real one where there are any
	for _, parent := range parents(t) {
		if parent.Mode != ModeNone {
			anyCgroup = parent.Path
		}
	}
	whole := change(func(*runtime.Record) {})
	tests := []struct {
		name   string
		data   func(r *Runtime) []byte
		reason string
	}{
		{"empty", func(*Runtime) []byte { return nil }, "it is empty"},
		{"truncated", func(r *Runtime) []byte { d := whole(r); return d[:len(d)/2] }, "damaged"},
		{"trailing bytes", func(r *Runtime) []byte { return append(whole(r), "}"...) }, "damaged"},
		{"zeros", func(*Runtime) []byte { return make([]byte, 512) }, "damaged"},
		{"huge", func(*Runtime) []byte { return make([]byte, recordMax+1) }, "larger"},
		{"newer", change(func(r *runtime.Record) { r.Version = recordVersion + 1 }), "newer creel"},
		{"newer, of other types", func(*Runtime) []byte { return []byte(`{"version": 2, "pid": "x"}`) }, "newer creel"},
		{"no version", change(func(r *runtime.Record) { r.Version = 0 }), "version 0"},
		{"wrong type", func(*Runtime) []byte { return []byte(`{"version": 1, "pid": "x"}`) }, "damaged"},
		{"pid 0", change(func(r *runtime.Record) { r.PID = 0 }), "pid"},
		{"pid 1", change(func(r *runtime.Record) { r.PID = 1 }), "pid"},
		{"pid -1", change(func(r *runtime.Record) { r.PID = -1 }), "pid"},
		{"no start time", change(func(r *runtime.Record) { r.StartTime = 0 }), "incomplete"},
		{"other host", change(func(r *runtime.Record) { r.Host = "elsewhere" }), "another machine"},
		{"copied folder", change(func(r *runtime.Record) { r.DataDir = "/elsewhere" }), "data folder"},
		{"cgroup of others", change(func(r *runtime.Record) { r.Cgroup = anyCgroup }), "no cgroup of this instance"},
		{"cgroup that is a plain folder", change(func(r *runtime.Record) {
			r.Cgroup = filepath.Join(cgroupBase(r.DataDir, r.DataDir, r.Gateway), "g3")
			if err := os.MkdirAll(r.Cgroup, 0o700); err != nil {
				t.Fatal(err)
			}
		}), "no cgroup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
			data := tt.data(r)
			if err := os.WriteFile(r.record.path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := r.Find(t.Context())
			var refused *runtime.RecordError
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, tt.reason) || refused.Path != r.record.path {
				t.Fatalf("find: %v, want a RecordError with %q", err, tt.reason)
			}
			spec := roleSpec(freePort(t), "touch", filepath.Join(t.TempDir(), "never"))
			if _, err := r.Start(t.Context(), spec); !errors.Is(err, ErrRecorded) {
				t.Errorf("start beside a refused record: %v", err)
			}
			path, err := r.SetAside(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != string(data) {
				t.Errorf("set aside: %q, %v", got, err)
			}
			if _, err := r.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
				t.Errorf("find after setting aside: %v", err)
			}
		})
	}
}

// TestFindPidUsedAgain crafts a record whose pid is a stranger's by now. The
// stranger is neither adopted nor killed.
func TestFindPidUsedAgain(t *testing.T) {
	stranger := exec.Command(testBinary(t), "serve")
	port := freePort(t)
	stranger.Env = roleSpec(port, "app").Env
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stranger.Wait() }()
	defer func() {
		if err := stranger.Process.Kill(); err != nil {
			t.Errorf("the stranger: %v", err)
		}
		<-ended
	}()
	addr := "127.0.0.1:" + strconv.Itoa(port)
	awaitServing(t, addr)
	stat, err := readStat(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*runtime.Record){
		"started earlier": func(r *runtime.Record) { r.StartTime = stat.startTime - 1 },
		"other boot":      func(r *runtime.Record) { r.BootID = "00000000-0000-0000-0000-000000000000" },
	} {
		t.Run(name, func(t *testing.T) {
			r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
			rec := sampleRecord(r)
			rec.PID, rec.StartTime = stranger.Process.Pid, stat.startTime
			change(&rec)
			if err := r.record.write(rec); err != nil {
				t.Fatal(err)
			}
			i := mustFind(t, r)
			awaitDone(t, i)
			if err := i.Terminate(); err != nil {
				t.Error(err)
			}
			mustKill(t, i)
			runtimetest.Ask(t, addr) // the stranger lives
			if _, err := r.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
				t.Errorf("find after the kill: %v", err)
			}
		})
	}
}

// TestRecordIsPrivate looks at the file as it is while an instance runs.
func TestRecordIsPrivate(t *testing.T) {
	r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
	i := mustStart(t, r, roleSpec(freePort(t), "app", "serve"))
	for _, path := range []string{r.record.path, LogPath(r.opts.Dir)} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	got, err := r.record.read()
	if err != nil || !reflect.DeepEqual(got, i.Record()) {
		t.Errorf("record %+v, %v; want %+v", got, err, i.Record())
	}
}

// FuzzRecord checks that nothing makes the parser panic, that what it accepts
// is fit for use, and that it survives being written again.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"gateway":"a","generation":1,"pid":2,"start_time":1,"boot_id":"b","port":1,"host":"h","data_dir":"/d"}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, reason := parseRecord(data)
		if reason != "" {
			return
		}
		if rec.PID < 2 || rec.StartTime == 0 || rec.BootID == "" {
			t.Fatalf("accepted %+v", rec)
		}
		again, err := json.Marshal(rec)
		if err != nil {
			t.Skip("a time beyond year 9999 cannot be written")
		}
		if got, reason := parseRecord(again); reason != "" || got.PID != rec.PID || got.Cgroup != rec.Cgroup {
			t.Fatalf("written again: %+v, %s", got, reason)
		}
	})
}
