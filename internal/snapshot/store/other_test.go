package store_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/net/webdav"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
	"creel/internal/telemetry"
)

const (
	otherUser   = "creel"
	otherSecret = "secret-of-another-store"
)

// otherPlace is a place that is reached through one of kopia's own clients.
func otherPlace(t *testing.T, other store.Other, files string) *storetest.Place {
	dir := t.TempDir()
	return &storetest.Place{
		Open: func(ctx context.Context, machine int) (store.Store, error) {
			o := folderOptions(dir, machine)
			o.Folder, o.Patience, o.Other = "", 20*time.Second, &other
			return store.Open(ctx, o)
		},
		Size: func() int64 { return sizeOf(t, files) },
	}
}

func TestWebDAV(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *storetest.Place {
		files := t.TempDir()
		dav := &webdav.Handler{FileSystem: webdav.Dir(files), LockSystem: webdav.NewMemLS()}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, secret, _ := r.BasicAuth(); user != otherUser || secret != otherSecret {
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			dav.ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		return otherPlace(t, store.Other{
			Type:     "webdav",
			Settings: map[string]any{"url": srv.URL, "username": otherUser},
			Secrets:  map[string]telemetry.Secret{"password": otherSecret},
		}, files)
	})
}

func TestSFTP(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *storetest.Place {
		files := filepath.Join(t.TempDir(), "files")
		if err := os.Mkdir(files, 0o700); err != nil {
			t.Fatal(err)
		}
		host, port, known := startSFTP(t)
		return otherPlace(t, store.Other{
			Type:     "sftp",
			Settings: map[string]any{"path": files, "host": host, "port": port, "username": otherUser, "knownHostsData": known},
			Secrets:  map[string]telemetry.Secret{"password": otherSecret},
		}, files)
	})
}

// startSFTP starts an SSH server whose only service is SFTP, for the length of the
// test, and gives what a client has to know of it.
func startSFTP(t *testing.T) (host string, port int, known string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, secret []byte) (*ssh.Permissions, error) {
		if c.User() != otherUser || string(secret) != otherSecret {
			return nil, errors.New("no")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sftpServer{config: config, open: map[net.Conn]bool{}}
	s.calls.Go(func() { s.serve(ln) }) // ends with ln
	t.Cleanup(func() {
		_ = ln.Close()
		s.close()
	})
	host, text, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	return host, port, knownhosts.Line([]string{fmt.Sprintf("[%s]:%d", host, port)}, signer.PublicKey()) + "\n"
}

type sftpServer struct {
	config *ssh.ServerConfig
	calls  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
}

func (s *sftpServer) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		s.mu.Unlock()
		s.calls.Go(func() { // ends with conn
			_ = s.talk(conn)
			_ = conn.Close()
		})
	}
}

func (s *sftpServer) close() {
	s.mu.Lock()
	for conn := range s.open {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.calls.Wait()
}

func (s *sftpServer) talk(conn net.Conn) error {
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return err
	}
	s.calls.Go(func() { ssh.DiscardRequests(requests) }) // ends with conn, like the others
	for ch := range channels {
		channel, requests, err := ch.Accept()
		if err != nil {
			return err
		}
		s.calls.Go(func() {
			for r := range requests {
				ok := r.Type == "subsystem" && string(r.Payload[4:]) == "sftp"
				_ = r.Reply(ok, nil)
			}
		})
		s.calls.Go(func() {
			defer channel.Close()
			server, err := sftp.NewServer(channel)
			if err == nil {
				err = server.Serve()
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return // the connection was closed under it
			}
		})
	}
	return nil
}
