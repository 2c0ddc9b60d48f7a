package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// loadWith is Load without a file.
func loadWith(environ ...string) (*Config, error) {
	cfg, _, err := Load(LoadOptions{DataDir: "/d", Environ: environ, Flags: []Flag{appFlag}})
	return cfg, err
}

// TestEnvironment: one variable of each kind, and each way to write a list.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		entry string
		get   func(*Config) any
		want  any
	}{
		{"CREEL_LISTEN=:9000", func(c *Config) any { return c.Listen }, ":9000"},
		{"CREEL_GATEWAY_PORT=3000", func(c *Config) any { return c.Gateway.Port }, 3000},
		{"CREEL_GATEWAY_STOP_DRAIN=0", func(c *Config) any { return c.Gateway.Stop.Drain }, time.Duration(0)},
		{"CREEL_PROXY_REPLAY_BODY_MAX=1MiB", func(c *Config) any { return c.Proxy.Replay.BodyMax }, int64(1 << 20)},
		{"CREEL_PROXY_MAX_HEADER_BYTES=8192", func(c *Config) any { return c.Proxy.MaxHeaderBytes }, 8192},
		{"CREEL_GATEWAY_STATE=/a, /b c", func(c *Config) any { return c.Gateway.State }, []string{"/a", "/b c"}},
		{`CREEL_GATEWAY_STATE=["/a,b"]`, func(c *Config) any { return c.Gateway.State }, []string{"/a,b"}},
		{"CREEL_GATEWAY_STATE=", func(c *Config) any { return c.Gateway.State }, []string{}},
		{"CREEL_GATEWAY_READY_COMMAND=check --port  $PORT", func(c *Config) any { return c.Gateway.Ready.Command }, []string{"check", "--port", "$PORT"}},
		{`CREEL_GATEWAY_READY_COMMAND=["sh", "-c", "a b"]`, func(c *Config) any { return c.Gateway.Ready.Command }, []string{"sh", "-c", "a b"}},
		{"CREEL_PROXY_TRUSTED_PROXIES=10.0.0.0/8,::1", func(c *Config) any { return c.Proxy.TrustedProxies }, []string{"10.0.0.0/8", "::1"}},
		{`CREEL_PROXY_REPLAY_IDEMPOTENT_ROUTES=[{"path": "/a", "header": "X"}]`, func(c *Config) any { return c.Proxy.Replay.IdempotentRoutes }, []IdempotentRoute{{"/a", "X"}}},
		{"CREEL_PROXY_REPLAY_IDEMPOTENT_ROUTES=", func(c *Config) any { return c.Proxy.Replay.IdempotentRoutes }, []IdempotentRoute{}},
		{"CREEL_GATEWAY_ENV_mixedCase=a=b", func(c *Config) any { return c.Gateway.Env }, map[string]string{"mixedCase": "a=b"}},
		{"CREEL_GATEWAY_ENV_EMPTY=", func(c *Config) any { return c.Gateway.Env }, map[string]string{"EMPTY": ""}},
		{"CREEL_GATEWAY_READY_LOG=", func(c *Config) any { return c.Gateway.Ready.Log }, ""},
		// What Kubernetes sets for Services named creel, creel-db and so on.
		{"CREEL_SERVICE_HOST=10.0.0.1", func(c *Config) any { return c.Listen }, DefaultListen},
		{"CREEL_SERVICE_PORT_HTTP=80", func(c *Config) any { return c.Listen }, DefaultListen},
		{"CREEL_PORT=tcp://10.0.0.1:80", func(c *Config) any { return c.Listen }, DefaultListen},
		{"CREEL_DB_PORT_5432_TCP_ADDR=10.0.0.1", func(c *Config) any { return c.Listen }, DefaultListen},
		{"NOT_CREEL_LISTN=x", func(c *Config) any { return c.Listen }, DefaultListen},
	} {
		t.Run(tt.entry, func(t *testing.T) {
			cfg, err := loadWith(tt.entry)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.get(cfg); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
	cfg, err := loadWith("CREEL_GATEWAY_READY_STATUS=200,204", "CREEL_GATEWAY_READY_PATH=/r")
	if err != nil || !reflect.DeepEqual(cfg.Gateway.Ready.Status, []int{200, 204}) {
		t.Errorf("got %v, %v", cfg, err)
	}
}

// TestEnvironmentProblems: the variable is named, and what is meant is said.
func TestEnvironmentProblems(t *testing.T) {
	for _, tt := range []struct{ entry, want string }{
		{"CREEL_GATEWAY_PORT=", "gateway.port: is empty; it must be a whole number"},
		{"CREEL_GATEWAY_STOP_GRACE=", "gateway.stop.grace: is empty"},
		{"CREEL_GATEWAY_START=", `gateway.start: "" is not one of "always", "on-demand"`},
		{"CREEL_GATEWAY_PORT=0x50", "gateway.port: must be a whole number"},
		{"CREEL_GATEWAY_PORT=tcp://10.0.0.1:80", "Kubernetes sets this variable"},
		{"CREEL_GATEWAY_STATE=/a,,/b", "gateway.state: has an empty item"},
		{"CREEL_GATEWAY_READY_COMMAND=sh -c 'a b'", "has to be a JSON array"},
		{"CREEL_GATEWAY_STATE=[1]", "gateway.state[0]: must be a text, not a number (1)"},
		{`CREEL_GATEWAY_STATE=["/a"`, "gateway.state: cannot be read as a JSON array: a list that"},
		{"CREEL_GATEWAY_READY_STATUS=200,ok", `gateway.ready.status: must be a whole number`},
		{"CREEL_PROXY_REPLAY_IDEMPOTENT_ROUTES=/a", "must be a JSON array of objects"},
		{`CREEL_PROXY_REPLAY_IDEMPOTENT_ROUTES=[{"paht": "/a"}]`, `idempotent_routes[0].paht: unknown key; did you mean "path"?`},
		{"CREEL_PROXY_TRUSTED_PROXIES=10.0.0.0/8,x", `proxy.trusted_proxies[1]: "x" is neither`},
		{"CREEL_GATEWAY_ENV_PORT=80", "gateway.env.PORT: creel sets PORT"},
		{"CREEL_GATEWAY_ENV_=hunter2", "has no name after CREEL_GATEWAY_ENV_"},
		{"CREEL_GATEWAY_ENV=A=hunter2", "unknown variable; set one for each, as CREEL_GATEWAY_ENV_NAME=value"},
		{"CREEL_GATWAY_NAME=hunter2", "unknown variable; did you mean CREEL_GATEWAY_NAME?"},
		{"CREEL_SNAPSHOT_PASSWORD=hunter2", "unknown variable; docs/configuration.md lists those that creel knows"},
		{"CREEL_CONFIGS=x", "unknown variable; did you mean CREEL_CONFIG?"},
	} {
		t.Run(tt.entry, func(t *testing.T) {
			_, err := loadWith(tt.entry)
			name, _, _ := strings.Cut(tt.entry, "=")
			for _, p := range problemsOf(t, err) {
				if p.Origin != OriginEnv || p.Name != name {
					t.Errorf("the problem does not name %s: %+v", name, p)
				}
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is shown")
			}
		})
	}
}

// TestVariablesAdd: those of the environment join those of the file, and win.
func TestVariablesAdd(t *testing.T) {
	file := writeFile(t, "gateway:\n  command: [app]\n  env:\n    A: file\n    B: file\n    N: 08\n    T: true\n")
	cfg, sources, err := Load(LoadOptions{Path: file, DataDir: "/d", Environ: []string{"CREEL_GATEWAY_ENV_B=env", "CREEL_GATEWAY_ENV_C=env", "CREEL_GATEWAY_ENV_C=twice"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "file", "B": "env", "C": "env", "N": "08", "T": "true"}
	if !reflect.DeepEqual(cfg.Gateway.Env, want) {
		t.Errorf("got %v, want %v", cfg.Gateway.Env, want)
	}
	for key, want := range map[string]string{"A": file + ":4", "B": "env CREEL_GATEWAY_ENV_B"} {
		if got := sources.Of("gateway.env." + key).String(); got != want {
			t.Errorf("%s comes from %q, want %q", key, got, want)
		}
	}
}
