package runtimetest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A count is the size of a file to which a byte is written again and again. It
// grows as long as whoever writes to it runs.

// countPause is the time between two bytes.
const countPause = 200 * time.Microsecond

func countForEver(path string) int {
	for countOnce(path) == nil {
		time.Sleep(countPause)
	}
	return 1
}

func countOnce(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write([]byte{'.'})
	return err
}

// busy has the app keep counts.
func busy(mux *http.ServeMux) {
	// In a thread of the main process, and in a child with a session of its own.
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		dir := r.FormValue("dir")
		cmd := exec.Command("/proc/self/exe", appCount, filepath.Join(dir, "child"))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		go countForEver(filepath.Join(dir, "main"))
		fmt.Fprint(w, "counting")
	})
	// In children that live for one byte each, several at once.
	mux.HandleFunc("/fork", func(w http.ResponseWriter, r *http.Request) {
		for n := range 3 {
			path := filepath.Join(r.FormValue("dir"), "forked"+strconv.Itoa(n))
			go func() {
				for exec.Command("/proc/self/exe", appFork, path).Run() == nil {
				}
			}()
		}
		fmt.Fprint(w, "forking")
	})
}

// counts are files that an App writes to.
type counts []string

// count has the App at addr count: path is /count or /fork.
func (o *opened) count(t *testing.T, addr, path string) counts {
	t.Helper()
	c := counts{filepath.Join(o.h.Scratch, "main"), filepath.Join(o.h.Scratch, "child")}
	if path == "/fork" {
		c = nil
		for n := range 3 {
			c = append(c, filepath.Join(o.h.Scratch, "forked"+strconv.Itoa(n)))
		}
	}
	if _, err := call(addr, path+"?dir="+o.h.Scratch); err != nil {
		t.Fatalf("having the app count: %v", err)
	}
	c.requireGrow(t)
	return c
}

func (c counts) sizes(t *testing.T) []int64 {
	t.Helper()
	var all []int64
	for _, path := range c {
		info, err := os.Stat(path)
		if os.IsNotExist(err) {
			all = append(all, 0)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info.Size())
	}
	return all
}

// requireGrow waits until each count has grown.
func (c counts) requireGrow(t *testing.T) {
	t.Helper()
	before := c.sizes(t)
	Await(t, "all of the instance runs", func() bool {
		for i, size := range c.sizes(t) {
			if size <= before[i] {
				return false
			}
		}
		return true
	})
}

// requireStill checks that no count grows while one that nobody holds does.
func (c counts) requireStill(t *testing.T) {
	t.Helper()
	before := c.sizes(t)
	witness := exec.CommandContext(t.Context(), "/bin/sh", "-c", "for n in 1 2 3 4 5 6 7 8 9 10; do /bin/true; echo; done")
	out, err := witness.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := witness.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(out); err != nil {
		t.Error(err)
	}
	if err := witness.Wait(); err != nil {
		t.Fatal(err)
	}
	after := c.sizes(t)
	for i := range after {
		if after[i] != before[i] {
			t.Errorf("%s grew from %d to %d while the instance was frozen", c[i], before[i], after[i])
		}
	}
}
