package storetest

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"creel/test/crashgw"
)

// The S3 server of the tests, a real one: its posix back-end keeps objects as
// files. It is built by its exact version and is no dependency of creel.
const (
	serverModule  = "github.com/versity/versitygw/cmd/versitygw"
	serverVersion = "v1.8.0"

	AccessKey = "creel-test-access"
	SecretKey = "creel-test-secret-key"
)

var server struct {
	sync.Once
	path string
	err  error
}

// serverBinary builds the server, once.
func serverBinary(t testing.TB) string {
	t.Helper()
	server.Do(func() {
		cache, err := os.UserCacheDir()
		if err != nil {
			server.err = err
			return
		}
		dir := filepath.Join(cache, "creel-test", "versitygw-"+serverVersion)
		server.path = filepath.Join(dir, "versitygw")
		if _, err := os.Stat(server.path); err == nil {
			return
		}
		cmd := exec.Command("go", "install", serverModule+"@"+serverVersion)
		cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			server.err = errors.New("cannot build the S3 server of the tests; without a network, put " + serverModule + "@" + serverVersion + " into " + dir + " first: " + err.Error() + "\n" + string(out))
		}
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.path
}

// Server is a running S3 server.
type Server struct {
	Addr string
	Dir  string // what lies in it: buckets are folders
	t    testing.TB
	cmd  *exec.Cmd

	ended chan error // gets how it ended
}

// StartServer starts a server over dir, for the length of the test.
func StartServer(t testing.TB, dir string) *Server {
	t.Helper()
	path := serverBinary(t)
	s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(crashgw.FreePort(t)), Dir: dir, t: t}
	s.start(path)
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) start(path string) {
	s.t.Helper()
	// Not every file system of a test has extended attributes. The server takes a
	// folder whose name begins like its root's for one inside.
	meta := filepath.Join(filepath.Dir(s.Dir), "meta-of-"+filepath.Base(s.Dir))
	if err := os.MkdirAll(meta, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(path, "--access", AccessKey, "--secret", SecretKey, "--port", s.Addr, "--quiet", "posix", "--sidecar", meta, s.Dir)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, ended := s.cmd, make(chan error, 1)
	s.ended = ended
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", s.Addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			s.t.Fatalf("the S3 server ended: %v\n%s", err, out.String())
		case <-deadline:
			s.t.Fatalf("the S3 server does not listen: %v", err)
		case <-tick.C:
		}
	}
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
	s.cmd = nil
}

// Restart starts a server that was killed again, at the same address.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.start(serverBinary(s.t))
}

// Put puts an object into a bucket, as any client of S3 does.
func (s *Server) Put(bucket, key, content string) {
	s.t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := minio.New(s.Addr, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1", Transport: transport})
	if err == nil {
		_, err = client.PutObject(s.t.Context(), bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Objects gives what lies in the server's buckets, by path.
func (s *Server) Objects() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(s.Dir, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		all[rel] = string(b)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}
