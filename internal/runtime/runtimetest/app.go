package runtimetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Arguments of App.
const (
	appServe    = "serve"    // serve HTTP on 127.0.0.1:$PORT
	appStubborn = "stubborn" // the same, and ignore SIGTERM
	appOrderly  = "orderly"  // the same, and end with exit code 7 after SIGTERM
	appChild    = "child"    // wait until descriptor 3 is at its end
	appOrphan   = "orphan"   // serve on descriptor 3, a listener, once descriptor 4 is at its end
	appCount    = "count"    // write to a file, again and again
	appFork     = "fork"     // write to a file once, and end
)

// Info is what App finds around itself.
type Info struct {
	PID     int
	Env     []string
	Dir     string
	FDs     []string // descriptors inherited beyond 0, 1 and 2, as "number link"
	Session bool     // it leads a session of its own
	Ignored string   // signals ignored, as in /proc/self/status; empty where there is none
	Blocked string   // signals blocked, likewise
	Stdin   string   // what descriptor 0 is
}

// App is the app of the suite; args are its arguments (os.Args[1:]). It returns
// an exit code.
func App(args []string) int {
	if len(args) == 0 {
		args = []string{appServe}
	}
	info := look() // before this program itself opens or ignores anything
	switch args[0] {
	case appChild:
		if _, err := io.Copy(io.Discard, os.NewFile(3, "parent")); err != nil {
			return 1
		}
		return 0
	case appCount:
		return countForEver(args[1])
	case appFork:
		if countOnce(args[1]) != nil {
			return 1
		}
		return 0
	case appStubborn:
		signal.Ignore(syscall.SIGTERM)
	case appOrderly:
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() {
			<-term
			os.Exit(7)
		}()
	}
	l, err := listen(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "app: serving")
	fmt.Fprintln(os.Stderr, "app:", http.Serve(l, handler(info, l)))
	return 1
}

func listen(mode string) (net.Listener, error) {
	if mode == appOrphan {
		// Until its parent has ended, which closes the pipe, the parent is to
		// get the requests.
		if _, err := io.Copy(io.Discard, os.NewFile(4, "parent")); err != nil {
			return nil, err
		}
		return net.FileListener(os.NewFile(3, "listener"))
	}
	return net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
}

// handler is the app's HTTP interface; the functions at the end of this file
// call it.
func handler(info Info, l net.Listener) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/info", func(w http.ResponseWriter, _ *http.Request) {
		// A failed answer is the client's to notice.
		_ = json.NewEncoder(w).Encode(info)
	})
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.FormValue("code"))
		if err != nil {
			code = 99
		}
		os.Exit(code)
	})
	mux.HandleFunc("/raise", func(_ http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("signal"))
		if err == nil {
			err = syscall.Kill(os.Getpid(), syscall.Signal(n))
		}
		if err != nil {
			os.Exit(99)
		}
	})
	mux.HandleFunc("/orphan", func(w http.ResponseWriter, _ *http.Request) {
		pid, err := startOrphan(l)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, pid)
	})
	misuse(mux)
	busy(mux)
	return mux
}

// hogMost is how many MiB the app takes, so that a limit which fails to hold does
// not cost more than the test.
const hogMost = 512

// misuse has the app take more of something than is good.
func misuse(mux *http.ServeMux) {
	mux.HandleFunc("/hog", func(w http.ResponseWriter, _ *http.Request) {
		var all [][]byte
		for len(all) < hogMost {
			block := make([]byte, 1<<20)
			for i := range block {
				block[i] = byte(len(all))
			}
			all = append(all, block)
		}
		fmt.Fprint(w, len(all))
	})
	mux.HandleFunc("/spin", func(_ http.ResponseWriter, _ *http.Request) {
		for n := 0; ; n++ {
			if n < 0 {
				n = 0
			}
		}
	})
	mux.HandleFunc("/files", func(w http.ResponseWriter, r *http.Request) {
		most, err := strconv.Atoi(r.FormValue("most"))
		if err != nil {
			most = 1
		}
		n := 0
		for ; n < most; n++ {
			// Not os.Open, which would close it when it is collected.
			if _, err := syscall.Open(os.DevNull, syscall.O_RDONLY, 0); err != nil {
				break
			}
		}
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("/processes", func(w http.ResponseWriter, r *http.Request) {
		most, err := strconv.Atoi(r.FormValue("most"))
		if err != nil {
			most = 1
		}
		alive, err := lifeline()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer alive.Close()
		n := 0
		for ; n < most; n++ {
			cmd := exec.Command("/proc/self/exe", appChild)
			cmd.ExtraFiles = []*os.File{alive}
			if cmd.Start() != nil {
				break
			}
		}
		fmt.Fprint(w, n)
	})
}

// startOrphan starts a process in a session of its own, as a daemon would be,
// that shares the listener.
func startOrphan(l net.Listener) (pid int, err error) {
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	alive, err := lifeline()
	if err != nil {
		return 0, err
	}
	defer alive.Close()
	cmd := exec.Command("/proc/self/exe", appOrphan)
	cmd.ExtraFiles = []*os.File{file, alive}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

// lifelines are the ends of pipes that close when this process ends.
var lifelines []*os.File

// lifeline is a file that is at its end once this process has ended.
func lifeline() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	lifelines = append(lifelines, w) // or the garbage collector would close it
	return r, nil
}

// look fills in an Info.
func look() Info {
	info := Info{PID: os.Getpid(), Env: os.Environ()}
	info.Dir, _ = os.Getwd()                       // empty says it all
	info.Stdin, _ = os.Readlink("/proc/self/fd/0") // likewise
	for fd := 3; fd < 1024; fd++ {
		// What is inherited has no FD_CLOEXEC, or it would have been closed;
		// what Go's runtime and this program open has it.
		flags, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			link, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)) // the number alone does too
			info.FDs = append(info.FDs, strconv.Itoa(fd)+" "+link)
		}
	}
	sid, _, errno := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
	info.Session = errno == 0 && int(sid) == info.PID
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return info
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "SigIgn":
			info.Ignored = strings.TrimSpace(value)
		case "SigBlk":
			info.Blocked = strings.TrimSpace(value)
		}
	}
	return info
}

// call makes a request on a connection of its own, and returns the body. An app
// that ends instead of answering gives an error.
func call(addr, path string) ([]byte, error) {
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// Ask asks the App at addr what it finds around itself.
func Ask(t *testing.T, addr string) Info {
	t.Helper()
	body, err := call(addr, "/info")
	if err != nil {
		t.Fatalf("asking the app: %v", err)
	}
	var info Info
	if err := json.Unmarshal(body, &info); err != nil {
		t.Fatalf("asking the app: %v", err)
	}
	slices.Sort(info.Env)
	return info
}

// Exit makes the App at addr end with an exit code.
func Exit(addr string, code int) {
	// It ends before it answers.
	_, _ = call(addr, "/exit?code="+strconv.Itoa(code))
}

// Raise makes the App at addr send itself a signal.
func Raise(addr string, sig syscall.Signal) {
	// It may end before it answers.
	_, _ = call(addr, "/raise?signal="+strconv.Itoa(int(sig)))
}

// Orphan makes the App at addr start a process that leaves its session and
// keeps its port, and returns the pid of it as the app sees it.
func Orphan(t *testing.T, addr string) int {
	t.Helper()
	body, err := call(addr, "/orphan")
	if err != nil {
		t.Fatalf("making an orphan: %v", err)
	}
	pid, err := strconv.Atoi(string(body))
	if err != nil {
		t.Fatalf("making an orphan: %v", err)
	}
	return pid
}

// Hog makes the App at addr take hogMost MiB of memory. It fails the test if the
// app survives that.
func Hog(t *testing.T, addr string) {
	t.Helper()
	if got, err := call(addr, "/hog"); err == nil {
		t.Fatalf("the app has taken %s MiB and lives", got)
	}
}

// Spin makes the App at addr use all the CPU time that it gets. The request is
// never answered; it ends with ctx, and the App spins on.
func Spin(ctx context.Context, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/spin", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// most is asked of an App that may have far less.
const most = 1000

// count makes the App at addr take up to most of what path gives, and returns how
// many it got. ended: it did not survive that.
func count(t *testing.T, addr, path string) (n int, ended bool) {
	t.Helper()
	body, err := call(addr, path+"?most="+strconv.Itoa(most))
	if err != nil {
		return 0, true
	}
	n, err = strconv.Atoi(string(body))
	if err != nil {
		t.Fatalf("counting: %v", err)
	}
	return n, false
}
