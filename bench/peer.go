package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// peer is a contestant that is somebody else's program, with a gateway in a loop
// behind it.
type peer struct {
	label   string
	program string
	// config is what it is configured with, as far as it matters; {listen}, {to},
	// {dir} and {cores} are filled in. It is shown in the document.
	config string
	file   string                     // the configuration's name
	args   func(file string) []string // its command line
	about  []string                   // arguments that make it tell its version
}

// peers are the proxies that creel is compared with. Each has the settings that
// serve this job best, as far as its own documentation tells: connections to the
// gateway are kept; what may be repeated is repeated, for as long and as often as
// it can be had; what may not, is not.
var peers = []peer{
	{
		label: "nginx", program: "nginx", file: "nginx.conf", about: []string{"-v"},
		args: func(file string) []string { return []string{"-c", file, "-e", "stderr"} },
		// It goes on to the next server at once. One that is listed several times
		// is tried as often, which is as long as the free version can hold a
		// request for.
		config: `daemon off;
pid {dir}/pid;
worker_processes {cores};
worker_rlimit_nofile 16384;
error_log stderr crit;
events { worker_connections 8000; }
http {
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  keepalive_requests 1000000000;
  map $http_upgrade $connection_field { default upgrade; '' ''; }
  upstream gateway {
    server {to} max_fails=0; server {to} max_fails=0; server {to} max_fails=0;
    keepalive 256; keepalive_requests 1000000000;
  }
  server {
    listen {listen} reuseport;
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_field;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_next_upstream error timeout http_502 http_503;
      proxy_next_upstream_tries 0;
      proxy_read_timeout 600s;
    }
  }
}
`,
	},
	{
		label: "HAProxy", program: "haproxy", file: "haproxy.cfg", about: []string{"-v"},
		args: func(file string) []string { return []string{"-db", "-f", file} },
		// After a refused connection it waits for "timeout connect" before it tries
		// the same server again.
		config: `global
  nbthread {cores}
  maxconn 4000
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
  timeout connect 20ms
  timeout queue 30s
  retries 1000
  retry-on conn-failure empty-response response-timeout
  http-reuse safe
  option forwardfor
frontend clients
  bind {listen}
  default_backend gateway
backend gateway
  http-request disable-l7-retry unless METH_GET or { method HEAD PUT DELETE OPTIONS TRACE }
  server gateway {to}
`,
	},
	{
		label: "Caddy", program: "caddy", file: "Caddyfile", about: []string{"version"},
		args: func(file string) []string { return []string{"run", "--adapter", "caddyfile", "--config", file} },
		config: `{
  admin off
  auto_https off
  log {
    level ERROR
  }
}
http://{listen} {
  reverse_proxy {to} {
    lb_try_duration 30s
    lb_try_interval 5ms
    lb_retry_match {
      method GET HEAD PUT DELETE OPTIONS TRACE
    }
    transport http {
      keepalive_idle_conns_per_host 256
      compression off
    }
  }
}
`,
	},
}

// find finds the program: in the folder that setup-peers fills, or in PATH.
func (p peer) find(dir string) (string, error) {
	for _, bin := range []string{"usr/sbin", "usr/bin"} {
		path := filepath.Join(dir, bin, p.program)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	path, err := exec.LookPath(p.program)
	if err != nil {
		return "", fmt.Errorf("cannot find %s: run bench/setup-peers, or install it: %w", p.label, err)
	}
	return path, nil
}

// environ lets a program find the libraries that were unpacked with it.
func (p peer) environ(b *bench, dir string) []string {
	libraries, _ := filepath.Glob(filepath.Join(b.peersDir, "usr/lib/*-linux-gnu*")) // the pattern is sound
	return append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"),
		"HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
}

// version is what the program says of itself, in one line.
func (p peer) version(ctx context.Context, b *bench) (string, error) {
	path, err := p.find(b.peersDir)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, p.about...)
	cmd.Env = p.environ(b, b.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot ask %s for its version: %w: %s", p.label, err, out)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return p.label + ": " + strings.TrimSpace(line), nil
}

func (p peer) name() string { return p.label }

func (p peer) start(ctx context.Context, b *bench, dir string, g gatewayOptions) (*standing, error) {
	program, err := p.find(b.peersDir)
	if err != nil {
		return nil, err
	}
	gateway, err := b.keepGateway(dir, g)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, errors.Join(err, gateway.stop())
	}
	config := strings.NewReplacer("{listen}", addr, "{to}", gateway.addr, "{dir}", dir, "{cores}", strconv.Itoa(runtime.NumCPU())).Replace(p.config)
	file := filepath.Join(dir, p.file)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write its configuration: %w", err), gateway.stop())
	}
	proxy, err := startChild(filepath.Join(dir, "proxy"), p.environ(b, dir), append([]string{program}, p.args(file)...)...)
	if err != nil {
		return nil, errors.Join(err, gateway.stop())
	}
	stop := func() error { return errors.Join(proxy.terminate(10*time.Second), gateway.stop()) }
	if err := awaitAnswer(ctx, addr, proxy); err != nil {
		return nil, errors.Join(err, stop())
	}
	pids, err := family(proxy.pid())
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &standing{addr: addr, pids: pids, stop: stop}, nil
}

// family lists a process and its children.
func family(pid int) ([]int, error) {
	pids := []int{pid}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("cannot find the children of pid %d: %w", pid, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // a thread that has ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", f, err)
			}
			pids = append(pids, child)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// keptProxy is a reverse proxy of the standard library with a gateway in a loop behind
// it.
type keptProxy struct{ reverseProxy }

func (c keptProxy) start(ctx context.Context, b *bench, dir string, g gatewayOptions) (*standing, error) {
	gateway, err := b.keepGateway(dir, g)
	if err != nil {
		return nil, err
	}
	s, err := c.startBefore(ctx, b, dir, gateway.addr, gateway.stop)
	if err != nil {
		return nil, errors.Join(err, gateway.stop())
	}
	return s, nil
}
