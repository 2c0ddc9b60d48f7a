package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/internal/snapshot/store"
	"creel/test/harness"
)

// asLooker as first argument makes a test binary a gateway that looks around.
const asLooker = "look-from-inside"

// search is what the looker is asked to look for, and where. Secrets come over the
// wire, so that neither its arguments nor its environment hold them by itself.
type search struct {
	Secrets []string
	Folders []string
	// Creel is in the command line of those processes through whose eyes
	// (/proc/PID/root) it looks, too. That of any other process of root that has
	// as few rights as the looker, such as another creel's gateway, is a way past
	// the hiding that is known and not closed.
	Creel string
}

// found is where a secret was.
type found struct {
	Looked int // places
	At     []string
}

// lookAround serves: POST / takes a search.
func lookAround() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /look", func(w http.ResponseWriter, r *http.Request) {
		var s search
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(s.run())
	})
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("looking around, as uid", os.Getuid())
	err = http.Serve(ln, mux)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (s search) run() (f found) {
	look := func(path string, b []byte) {
		f.Looked++
		for i, secret := range s.Secrets {
			if bytes.Contains(b, []byte(secret)) {
				f.At = append(f.At, fmt.Sprintf("secret %d in %s", i, path))
			}
		}
	}
	look("its environment", []byte(strings.Join(os.Environ(), "\n")))
	look("its arguments", []byte(strings.Join(os.Args, "\n")))
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		for _, name := range []string{"environ", "cmdline"} {
			if b, err := os.ReadFile(filepath.Join(p, name)); err == nil {
				look(filepath.Join(p, name), b)
			}
		}
		descriptors, _ := filepath.Glob(filepath.Join(p, "fd", "*"))
		for _, fd := range descriptors {
			s.file(fd, look)
		}
		if p == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if p != "/proc/1" && !bytes.Contains(line, []byte(s.Creel)) {
			continue
		}
		for _, dir := range s.Folders { // as others see them
			s.folder(filepath.Join(p, "root", dir), look)
		}
	}
	for _, dir := range s.Folders {
		s.folder(dir, look)
	}
	return f
}

func (s search) folder(dir string, look func(string, []byte)) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			s.file(path, look)
		}
		return nil
	})
}

func (search) file(path string, look func(string, []byte)) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	if b, err := io.ReadAll(io.LimitReader(f, 64<<20)); err == nil {
		look(path, b)
	}
}

// TestSecretsFromInside looks for the secrets of the store with the eyes of the
// gateway: they are in nothing that it can read, nor in what creel and the gateway
// log (I7).
//
// moltworker: "secrets in ps", "agent prints all keys".
func TestSecretsFromInside(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("a creel that does not run as root cannot keep its gateway apart; run this test as root")
	}
	const access, secret = "CREELACCESSFROMINSIDE", "creel-secret-from-inside-0123456789"
	srv, _ := bucket(t) // which refuses them
	settings := s3Settings(t, srv.Addr, access, secret)
	h := prepare(t, settings)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.Args = append(h.Args[:slices.Index(h.Args, "--")+1], self, asLooker)
	if err := os.WriteFile(h.ConfigPath(), []byte("gateway: {name: crash, sandbox: auto}\n"+settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.State, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.State, "something"), []byte("it has a state"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := store.NewKey().Reveal()
	if r := h.creelWith(text, "snapshot", "key", "import"); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	h.Launch()
	h.WaitFor("the gateway to be ready", harness.Ready)
	h.creel("snapshot", "create") // which needs the credentials, and fails
	ask := search{Secrets: []string{secret, text}, Folders: []string{h.DataDir(), h.Dir, filepath.Dir(credentialsIn(settings))}, Creel: h.DataDir()}
	f := h.lookInside(ask)
	if f.Looked < 10 || len(f.At) > 0 {
		t.Errorf("looked at %d places; %q", f.Looked, f.At)
	}
	// The same eyes, without the blindfold, find both: the search is none that
	// cannot find anything.
	if own := ask.run(); len(own.At) < 2 {
		t.Errorf("from outside: looked at %d places; %q", own.Looked, own.At)
	}
	for name, text := range map[string]string{
		"creel's output": h.Output.String(), "the gateway's log": h.must("logs"), "the journal": h.Events(),
		"the status": h.must("status", "--json"), "the configuration": h.creel("config", "show", "--config", h.ConfigPath()).Out,
	} {
		for i, s := range ask.Secrets {
			if strings.Contains(text, s) {
				t.Errorf("secret %d is in %s", i, name)
			}
		}
	}
}

// TestCreelIsNotLookedInto: a creel that cannot keep its gateway apart, as in a
// container, runs as the same user with the same rights. What creel alone has in its
// environment and memory stays there all the same.
func TestCreelIsNotLookedInto(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("without root there are no rights to take from creel; run this test as root")
	}
	const secret = "creel-secret-in-its-own-environment"
	h := prepare(t, "snapshots: {mode: off}\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.Args = append(h.Args[:slices.Index(h.Args, "--")+1], self, asLooker)
	if err := os.WriteFile(h.ConfigPath(), []byte("gateway: {name: crash, sandbox: auto}\nsnapshots: {mode: off}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.LaunchWith(func(cmd *exec.Cmd) {
		// The rights of root in a container. One of the few variables that are creel's
		// alone, and that it takes nothing from, holds the secret.
		cmd.Args = append([]string{"setpriv", "--bounding-set=-sys_admin,-sys_ptrace,-perfmon", "--inh-caps=-sys_admin,-sys_ptrace,-perfmon", self}, cmd.Args[1:]...)
		if cmd.Path, err = exec.LookPath("setpriv"); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "INVOCATION_ID="+secret)
	})
	h.WaitFor("the gateway to be ready", harness.Ready)
	ask := search{Secrets: []string{secret}, Creel: h.DataDir()}
	if f := h.lookInside(ask); f.Looked < 4 || len(f.At) > 0 {
		t.Errorf("looked at %d places; %q", f.Looked, f.At)
	}
	if own := ask.run(); len(own.At) == 0 {
		t.Errorf("from outside: looked at %d places, and found nothing", own.Looked)
	}
}

// lookInside has the gateway look around.
func (h *home) lookInside(ask search) (f found) {
	h.T.Helper()
	body, err := json.Marshal(ask)
	if err != nil {
		h.T.Fatal(err)
	}
	client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(h.URL("/look"), "application/json", bytes.NewReader(body))
	if err != nil {
		h.T.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		h.T.Fatal(err)
	}
	return f
}
