package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"creel/internal/auth"
	"creel/internal/gateway"
	"creel/internal/logfile"
	"creel/internal/telemetry"
)

// The debug routes look and change nothing. Two of moltworker's are narrower here:
// /debug/gateway-api asks this gateway and nobody else, whatever the path says; and
// /debug/cli runs nothing. It ran any line in a shell, and a line that only
// OpenClaw's program may run is a shell as well (it can set what is executed at
// its next start). Who is to run commands, has this machine: `creel openclaw exec`.

// CompatError is how moltworker says that something went wrong.
type CompatError struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// CompatVersions is the answer to GET /debug/version.
type CompatVersions struct {
	OpenClaw string `json:"openclaw_version"`
	Node     string `json:"node_version"`
}

// CompatProcesses is the answer to GET /debug/processes.
type CompatProcesses struct {
	Count     int             `json:"count"`
	Processes []CompatProcess `json:"processes"` // running and starting ones, then those that have ended, the newest first
}

// CompatProcess is an instance of the gateway.
type CompatProcess struct {
	ID      string    `json:"id"`
	Command string    `json:"command"`
	Status  string    `json:"status"` // running, starting, completed, failed
	Started time.Time `json:"startTime,omitzero"`
	Ended   time.Time `json:"endTime,omitzero"`
	Exit    *int      `json:"exitCode,omitempty"`
	Stdout  *string   `json:"stdout,omitempty"`
	Stderr  *string   `json:"stderr,omitempty"`
}

// CompatLogs is the answer to GET /debug/logs.
type CompatLogs struct {
	Status        string `json:"status"` // ok, not_found, no_process, error
	ProcessID     string `json:"process_id,omitempty"`
	ProcessStatus string `json:"process_status,omitempty"`
	Message       string `json:"message,omitempty"`
	Stdout        string `json:"stdout"`
	Stderr        string `json:"stderr"`
}

// CompatFetched is the answer to GET /debug/gateway-api.
type CompatFetched struct {
	Path        string `json:"path"`
	Status      int    `json:"status"`
	ContentType string `json:"contentType"`
	Body        any    `json:"body"` // a document, or a text
}

// CompatUnfetched is the answer to GET /debug/gateway-api if the gateway gave none.
type CompatUnfetched struct {
	Error string `json:"error"`
	Path  string `json:"path"`
}

// CompatConfig is the answer to GET /debug/container-config.
type CompatConfig struct {
	Status   string  `json:"status"`
	ExitCode int     `json:"exitCode"`
	Config   any     `json:"config"` // what may be a secret is "[redacted]"; null: it cannot be read
	Raw      *string `json:"raw,omitempty"`
	Stderr   string  `json:"stderr"`
}

// ProcessQuery are the parameters of GET /debug/processes.
type ProcessQuery struct {
	Logs bool `query:"logs" doc:"with the last lines of output"`
}

// FetchQuery are the parameters of GET /debug/gateway-api.
type FetchQuery struct {
	Path string `query:"path" default:"/" max:"2048" doc:"path and query to ask the gateway for"`
}

// CommandQuery are the parameters of GET /debug/cli.
type CommandQuery struct {
	Command string `query:"cmd" max:"2048" doc:"not run"`
}

// ProcessLogQuery are the parameters of GET /debug/logs.
type ProcessLogQuery struct {
	ID string `query:"id" max:"100" doc:"the instance; without it the one that runs"`
}

func (a *API) debugRoutes() []route {
	path := func(name string) string { return debugPrefix + name }
	off := jsonOf[CompatError]().with(http.StatusNotFound)
	return []route{
		handle("GET", path("version"), auth.Admin, "moltworkerVersion", "moltworker: versions", onDebug(a, a.debugVersion), jsonOf[CompatVersions](), off),
		handle("GET", path("processes"), auth.Admin, "moltworkerProcesses", "moltworker: the gateway's instances; wakes none", onDebug(a, a.debugProcesses), jsonOf[CompatProcesses](), off),
		handle("GET", path("gateway-api"), auth.Admin, "moltworkerFetch", "moltworker: what the gateway answers to a GET", onDebug(a, a.debugFetch), jsonOf[CompatFetched](), jsonOf[CompatUnfetched]().with(http.StatusInternalServerError), off),
		handle("GET", path("cli"), auth.Admin, "moltworkerCommand", "moltworker: run a command; creel runs none", onDebug(a, a.debugCommand), off),
		handle("GET", path("logs"), auth.Admin, "moltworkerLogs", "moltworker: the gateway's output, redacted", onDebug(a, a.debugLogs), jsonOf[CompatLogs](), jsonOf[CompatLogs]().with(http.StatusNotFound), jsonOf[CompatLogs]().with(http.StatusInternalServerError), off),
		handle("GET", path("env"), auth.Admin, "moltworkerEnviron", "moltworker: which variables are set", onDebug(a, a.debugEnviron), jsonOf[map[string]any](), off),
		handle("GET", path("container-config"), auth.Admin, "moltworkerConfig", "moltworker: OpenClaw's configuration, redacted", onDebug(a, a.debugConfig), jsonOf[CompatConfig](), off),
	}
}

// onDebug keeps what is behind it to those who have turned it on.
func onDebug[Q any](a *API, serve func(http.ResponseWriter, *http.Request, Q)) func(http.ResponseWriter, *http.Request, Q) {
	return func(w http.ResponseWriter, r *http.Request, q Q) {
		if !a.opts.OpenClaw.Debug() {
			writeJSON(w, http.StatusNotFound, CompatError{"Debug routes are disabled", "Set compat.debug_routes to on."})
			return
		}
		serve(w, r, q)
	}
}

func (a *API) debugVersion(w http.ResponseWriter, _ *http.Request, _ none) {
	claw, node := a.opts.OpenClaw.Versions()
	writeJSON(w, http.StatusOK, CompatVersions{claw, node})
}

// processes are the present instance, and the one that has ended last.
func (a *API) processes() []CompatProcess {
	st := a.opts.Gateway.Status()
	command := func() string { return fmt.Sprintf("openclaw gateway --port %d (start-openclaw)", a.gatewayPort()) }
	list := []CompatProcess{}
	if id := processID(st); id != "" {
		p := CompatProcess{ID: id, Command: command(), Status: "starting", Started: st.StartedAt}
		if st.State != gateway.Starting && st.State != gateway.Restoring {
			p.Status = "running"
		}
		list = append(list, p)
	}
	if e := st.LastEnd; e != nil {
		p := CompatProcess{ID: fmt.Sprintf("generation-%d", e.Generation), Command: command(), Status: "failed", Ended: e.At}
		if e.Benign || e.Cause == gateway.CauseAsked {
			p.Status = "completed"
		}
		list = append(list, p)
	}
	return list
}

func (a *API) debugProcesses(w http.ResponseWriter, _ *http.Request, q ProcessQuery) {
	list := a.processes()
	if q.Logs {
		for i := range list {
			out, err := a.outputOf(list[i].ID)
			none := ""
			if err != nil {
				none = err.Error()
			}
			list[i].Stdout, list[i].Stderr = &out, &none
		}
	}
	writeJSON(w, http.StatusOK, CompatProcesses{len(list), list})
}

// debugLines is how much output is shown.
const debugLines = 1000

// outputOf is the last output of an instance, redacted. All instances write to one
// file, and only the present one's end is known to be its own.
func (a *API) outputOf(id string) (string, error) {
	st := a.opts.Gateway.Status()
	if id != processID(st) {
		if st.LastEnd != nil {
			return strings.Join(st.LastEnd.Log, "\n"), nil
		}
		return "", nil
	}
	lines, err := logfile.Tail(a.opts.LogPath, debugLines)
	return telemetry.Redact(strings.Join(lines, "\n")), err
}

func (a *API) debugLogs(w http.ResponseWriter, _ *http.Request, q ProcessLogQuery) {
	list := a.processes()
	for _, p := range list {
		if p.ID == q.ID || q.ID == "" && p.Ended.IsZero() {
			out, err := a.outputOf(p.ID)
			if err != nil {
				writeJSON(w, http.StatusInternalServerError, CompatLogs{Status: "error", Message: err.Error()})
				return
			}
			writeJSON(w, http.StatusOK, CompatLogs{Status: "ok", ProcessID: p.ID, ProcessStatus: p.Status, Stdout: out})
			return
		}
	}
	if q.ID != "" {
		writeJSON(w, http.StatusNotFound, CompatLogs{Status: "not_found", Message: "Process " + q.ID + " not found"})
		return
	}
	writeJSON(w, http.StatusOK, CompatLogs{Status: "no_process", Message: "No OpenClaw process is currently running"})
}

func (a *API) debugCommand(w http.ResponseWriter, _ *http.Request, _ CommandQuery) {
	writeJSON(w, http.StatusNotFound, CompatError{"Commands are not run over HTTP", "On this machine: `creel openclaw exec -- …`."})
}

const (
	fetchTime = 10 * time.Second
	fetchMost = 1 << 20
)

// debugFetch asks the gateway. Nothing of the request but the path and query of a
// GET goes to it, so it is a client on this machine without a token.
func (a *API) debugFetch(w http.ResponseWriter, r *http.Request, q FetchQuery) {
	fail := func(err error) {
		writeJSON(w, http.StatusInternalServerError, CompatUnfetched{telemetry.Redact(err.Error()), q.Path})
	}
	path, err := url.ParseRequestURI(q.Path)
	addr := a.opts.Gateway.Status().Addr
	switch {
	case err != nil || !strings.HasPrefix(q.Path, "/") || strings.HasPrefix(q.Path, "//"):
		bad(w, "path is no path of the gateway, such as \"/healthz\": "+q.Path)
		return
	case addr == "":
		fail(errors.New("the gateway does not run"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	if err != nil {
		fail(err)
		return
	}
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery = path.Path, path.RawPath, path.RawQuery
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		fail(err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, fetchMost))
	if err != nil {
		fail(err)
		return
	}
	out := CompatFetched{Path: q.Path, Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: telemetry.Redact(string(b))}
	var document any
	if strings.Contains(out.ContentType, mediaJSON) && json.Unmarshal([]byte(out.Body.(string)), &document) == nil {
		out.Body = document
	}
	writeJSON(w, http.StatusOK, out)
}

// debugVariables are the variables that moltworker told of, by the name it gave
// them.
var debugVariables = map[string]string{
	"has_anthropic_key": "ANTHROPIC_API_KEY", "has_openai_key": "OPENAI_API_KEY", "has_gateway_token": "MOLTBOT_GATEWAY_TOKEN",
	"has_r2_access_key": "R2_ACCESS_KEY_ID", "has_r2_secret_key": "R2_SECRET_ACCESS_KEY", "has_cf_account_id": "CF_ACCOUNT_ID",
	"has_cf_access_aud": "CF_ACCESS_AUD",
}

func (a *API) debugEnviron(w http.ResponseWriter, _ *http.Request, _ none) {
	set := a.opts.OpenClaw.Environ()
	out := map[string]any{"debug_routes": "true", "bind_mode": "loopback"}
	for name, variable := range debugVariables {
		out[name] = set[variable]
	}
	out["has_gateway_token"] = true // creel makes one if there is none
	writeJSON(w, http.StatusOK, out)
}

func (a *API) debugConfig(w http.ResponseWriter, _ *http.Request, _ none) {
	b, err := a.opts.OpenClaw.Config()
	if err != nil {
		writeJSON(w, http.StatusOK, CompatConfig{Status: "failed", ExitCode: 1, Stderr: telemetry.Redact(err.Error())})
		return
	}
	var document any
	if err := json.Unmarshal(b, &document); err != nil {
		writeJSON(w, http.StatusOK, CompatConfig{Status: "completed", Stderr: "it is not plain JSON (comments, perhaps), and is not shown, since secrets in it would not be found: " + err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, CompatConfig{Status: "completed", Config: hideSecrets(document, false)})
}

// secretNames are parts of the names of members that hold secrets.
var secretNames = []string{"token", "secret", "password", "passwd", "credential", "authorization", "cookie"}

// hideSecrets puts "[redacted]" in the place of each text that may be a secret: by
// the name of its member, or of one that it is in, and those that are known.
func hideSecrets(v any, within bool) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			hidden := within || name == "env" || strings.HasSuffix(strings.ToLower(name), "key")
			for _, part := range secretNames {
				hidden = hidden || strings.Contains(strings.ToLower(name), part)
			}
			v[name] = hideSecrets(value, hidden)
		}
	case []any:
		for i := range v {
			v[i] = hideSecrets(v[i], within)
		}
	case string:
		if within && v != "" {
			return "[redacted]"
		}
		return telemetry.Redact(v)
	}
	return v
}
