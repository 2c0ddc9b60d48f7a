package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestValidate: what a person can get wrong in a way that needs two keys, or
// that a file can hardly express. testdata/problems/values.yaml has the others.
func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string // "key: beginning of the message"
	}{
		{"nothing", func(*Config) {}, nil},
		{"no command", func(c *Config) { c.Gateway.Command = nil }, []string{"gateway.command: is missing"}},
		{"no name", func(c *Config) { c.Gateway.Name = "" }, []string{`gateway.name: "" is not a name`}},
		{"owner of a store that cannot tell", func(c *Config) { c.Snapshots.Owner, c.Snapshots.Store.Kind = OwnerOn, "sftp" }, []string{`snapshots.owner: a store of kind "sftp" cannot settle`}},
		{"owner without snapshots", func(c *Config) { c.Snapshots.Owner, c.Snapshots.Mode = OwnerOn, SnapshotsOff }, []string{`snapshots.owner: the owner is settled by`}},
		{"owner of a folder", func(c *Config) { c.Snapshots.Owner = OwnerOn }, nil},
		{"term too short to stop in", func(c *Config) { c.Snapshots.Owner, c.Snapshots.OwnerTerm = OwnerOn, 79*time.Second }, []string{"snapshots.owner_term: must not be less than 1m20s"}},
		{"term long enough", func(c *Config) { c.Snapshots.Owner, c.Snapshots.OwnerTerm = OwnerOn, 80*time.Second }, nil},
		{"short term of nobody's", func(c *Config) { c.Snapshots.OwnerTerm = time.Second }, nil},
		{"longest name", func(c *Config) { c.Gateway.Name = strings.Repeat("a", 40) }, nil},
		{"name too long", func(c *Config) { c.Gateway.Name = strings.Repeat("a", 41) }, []string{`gateway.name: "aaa`}},
		{"name begins with a dash", func(c *Config) { c.Gateway.Name = "-a" }, []string{`gateway.name: "-a"`}},
		{"gateway on our own port", func(c *Config) { c.Gateway.Port = 8080 }, []string{"gateway.port: 8080 is also the port of listen"}},
		{"any port twice", func(c *Config) { c.Listen = ":0" }, nil},
		{"negative port", func(c *Config) { c.Gateway.Port = -1 }, []string{"gateway.port: -1 is not a port"}},
		{"port name", func(c *Config) { c.Listen = "localhost:http" }, []string{`listen: port "http" is not a number`}},
		{"port too large", func(c *Config) { c.Listen = "localhost:65536" }, []string{`listen: port "65536"`}},
		{"odd host", func(c *Config) { c.Listen = "a b:80" }, []string{`listen: "a b" is neither`}},
		{"IPv6 with an interface", func(c *Config) { c.Listen = "[fe80::1%eth0]:80" }, nil},
		{"state twice", func(c *Config) { c.Gateway.State = []string{"/a", "/b", "/a"} }, []string{"gateway.state[2]: /a is within /a"}},
		{"state in state", func(c *Config) { c.Gateway.State = []string{"/a", "/a/b"} }, []string{"gateway.state[1]: /a/b is within /a"}},
		{"state beside state", func(c *Config) { c.Gateway.State = []string{"/a", "/ab", "/..a"} }, nil},
		{"state holds data_dir", func(c *Config) { c.Gateway.State = []string{"/var"} }, []string{"gateway.state[0]: /var holds creel's own data_dir"}},
		{"state is data_dir", func(c *Config) { c.Gateway.State = []string{c.DataDir} }, []string{"gateway.state[0]: /var/d holds"}},
		{"state within data_dir", func(c *Config) { c.Gateway.State = []string{c.DataDir + "/state"} }, nil},
		{"NUL in an argument", func(c *Config) { c.Gateway.Command = []string{"a", "b\x00"} }, []string{"gateway.command[1]: must not contain a NUL"}},
		{"NUL in a path", func(c *Config) { c.Gateway.Dir = "/\x00" }, []string{"gateway.dir: must not contain a NUL"}},
		{"NUL in a variable", func(c *Config) { c.Gateway.Env = map[string]string{"A": "\x00"} }, []string{"gateway.env.A: its value must not contain a NUL"}},
		{"equals sign in a variable", func(c *Config) { c.Gateway.Env = map[string]string{"A=hunter2": "x"} }, []string{"gateway.env.A: the name of a variable"}},
		{"negative duration", func(c *Config) { c.Gateway.Stop.Grace = -time.Second }, []string{"gateway.stop.grace: -1s must not be negative"}},
		{"negative size", func(c *Config) { c.Proxy.Replay.BodyMemory = -1 }, []string{"proxy.replay.body_memory: -1 must not be negative"}},
		{"limits", func(c *Config) { c.Gateway.Limits = Limits{Memory: 8 << 20, CPU: 1, PIDs: 16, OpenFiles: 16} }, nil},
		{"limits too low", func(c *Config) { c.Gateway.Limits = Limits{Memory: 1, CPU: -1, PIDs: 1, OpenFiles: -5} }, []string{
			"gateway.limits.memory: 1 must be at least 8MiB", "gateway.limits.cpu: -1 must be from 1",
			"gateway.limits.pids: 1 must be from 16", "gateway.limits.open_files: -5 must be from 16"}},
		{"limits too high", func(c *Config) { c.Gateway.Limits = Limits{CPU: 1 << 40, PIDs: 1 << 30} }, []string{
			"gateway.limits.cpu: 1099511627776", "gateway.limits.pids: 1073741824"}},
		{"no bodies", func(c *Config) { c.Proxy.Replay.BodyMemory, c.Proxy.Replay.BodyMax, c.Proxy.Replay.Budget = 0, 0, 0 }, nil},
		{"status without a path", func(c *Config) { c.Gateway.Ready.Status = []int{200} }, []string{"gateway.ready.status: has no meaning without gateway.ready.path"}},
		{"path with a query", func(c *Config) { c.Gateway.Ready.Path = "/r?full=1" }, nil},
		{"path with a fragment", func(c *Config) { c.Gateway.Ready.Path = "/r#x" }, []string{`gateway.ready.path: "/r#x" is not a path`}},
		{"path with a line break", func(c *Config) { c.Gateway.Alive.Path = "/r\r\nX: y" }, []string{"gateway.alive.path:"}},
		{"route to everything", func(c *Config) { c.Proxy.Replay.IdempotentRoutes = []IdempotentRoute{{"/*", "Idempotency-Key"}} }, nil},
		{"network with an interface", func(c *Config) { c.Proxy.TrustedProxies = []string{"fe80::1%eth0"} }, []string{`proxy.trusted_proxies[0]: "fe80::1%eth0" is neither`}},
		{"thresholds of a hang that meet", func(c *Config) {
			c.Gateway.Hang = Hang{Action: HangRestart, Interval: time.Second, SuspectAfter: 2 * time.Second, RestartAfter: 2 * time.Second, BusyRestartAfter: 2 * time.Second}
		}, nil},
		{"a question too late for suspicion", func(c *Config) { c.Gateway.Hang.Interval = c.Gateway.Hang.SuspectAfter/2 + 1 }, []string{"gateway.hang.interval:"}},
		{"suspected after the restart", func(c *Config) { c.Gateway.Hang.SuspectAfter = c.Gateway.Hang.RestartAfter + 1 }, []string{"gateway.hang.suspect_after:"}},
		{"busy for less than idle", func(c *Config) { c.Gateway.Hang.BusyRestartAfter = c.Gateway.Hang.RestartAfter - 1 }, []string{"gateway.hang.restart_after:"}},
		{"header bytes", func(c *Config) { c.Proxy.MaxHeaderBytes = 1 << 30 }, []string{"proxy.max_header_bytes: 1GiB is not between 4KiB and 16MiB"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.DataDir = "/var/d"
			cfg.Gateway.Command = []string{"app"}
			tt.change(&cfg)
			err := Validate(&cfg, nil)
			if len(tt.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			problems := problemsOf(t, err)
			for i, p := range problems {
				if i >= len(tt.want) || !strings.HasPrefix(p.Key+": "+p.Message, tt.want[i]) {
					t.Errorf("got %s; want %q", p, tt.want)
				}
			}
			if len(problems) != len(tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v; want %q", err, tt.want)
			}
		})
	}
}

// TestPairsAreShownWhereChosen: of two values that do not fit together, the place
// of the one that a person chose is shown.
func TestPairsAreShownWhereChosen(t *testing.T) {
	for data, want := range map[string]int{
		"proxy:\n  replay:\n    body_max: 1GiB\n":                    3,
		"proxy:\n  replay:\n    budget: 1MiB\n":                      3,
		"proxy:\n  replay:\n    budget: 1MiB\n    body_max: 1GiB\n":  4,
		"gateway:\n  port: 8080\n":                                   2,
		"# one\nlisten: :3000\ngateway:\n  name: a\n  port: 3000\n":  5,
		"gateway: {restart: {\n  max_delay: 1ms}}\n":                 2,
		"listen: :1\ndata_dir: /a/b\ngateway:\n  state:\n    - /a\n": 5,
	} {
		_, _, err := Load(LoadOptions{Path: writeFile(t, data), DataDir: "/d", Flags: []Flag{appFlag}})
		var lines []int
		for _, p := range problemsOf(t, err) {
			lines = append(lines, p.Line)
		}
		if !reflect.DeepEqual(lines, []int{want}) {
			t.Errorf("%q: got lines %v, want %d:\n%v", data, lines, want, err)
		}
	}
}
