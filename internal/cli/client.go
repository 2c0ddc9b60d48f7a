package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"creel/internal/api"
	"creel/internal/daemon"
	"creel/internal/snapshot"
)

// call asks the daemon for something that is to succeed. The caller closes the
// body.
func (e *env) call(method, what string) (io.ReadCloser, error) {
	return e.callFor("application/x-ndjson, */*;q=0.5", method, what) // what goes on, a line at a time
}

// callFor is call for an answer in a form of its own, as Accept has it.
func (e *env) callFor(accept, method, what string) (io.ReadCloser, error) {
	resp, err := e.send(accept, method, what)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, problemOf(resp)
	}
	return resp.Body, nil
}

// send asks the daemon for something. The caller closes the answer's body.
func (e *env) send(accept, method, what string) (*http.Response, error) {
	dir, err := e.folder()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(e.ctx, method, api.ControlURL(what), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	return e.do(dir, req)
}

// do sends a request to the daemon of a data folder.
func (e *env) do(dir string, req *http.Request) (*http.Response, error) {
	resp, err := api.Client(dir).Do(req)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return nil, &unreachableError{dataDir: dir, readOnly: daemon.ReadOnly(dir), err: dial.Err}
		}
		return nil, fmt.Errorf("cannot talk to creel: %w", err)
	}
	return resp, nil
}

// problemOf makes an error of an answer that is a problem document.
func problemOf(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil {
		err = problemIn(b)
	}
	if err == nil {
		err = fmt.Errorf("creel answered %s", resp.Status)
	}
	return err
}

// problemIn makes an error of a problem document; nil: it is none.
func problemIn(b []byte) error {
	var d struct{ Title, Detail, Hint string }
	if err := json.Unmarshal(b, &d); err != nil || d.Title == "" {
		return nil
	}
	msg := d.Detail
	if !strings.HasPrefix(strings.ToLower(d.Detail), strings.ToLower(d.Title)) {
		msg = d.Title + ": " + d.Detail
	}
	if d.Hint != "" {
		msg += " (" + d.Hint + ")"
	}
	return errors.New(msg)
}

// status asks for the status.
func (e *env) status(method, what string) (*api.Status, []byte, error) {
	body, err := e.call(method, what)
	if err != nil {
		return nil, nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read creel's answer: %w", err)
	}
	var st api.Status
	if err := json.Unmarshal(b, &st); err != nil {
		return nil, nil, fmt.Errorf("cannot understand creel's answer: %w", err)
	}
	return &st, b, nil
}

// indent prints JSON for people to read too.
func (e *env) indent(b []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return fmt.Errorf("cannot understand creel's answer: %w", err)
	}
	_, err := out.WriteTo(e.stdout)
	return err
}

// get asks for something and understands the answer.
func (e *env) get(what string, into any) ([]byte, error) { return e.ask(http.MethodGet, what, into) }

func (e *env) ask(method, what string, into any) ([]byte, error) {
	body, err := e.call(method, what)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("cannot read creel's answer: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return nil, fmt.Errorf("cannot understand creel's answer: %w", err)
	}
	return b, nil
}

// orIndent prints JSON, unless there was an error.
func (e *env) orIndent(raw []byte, err error) error {
	if err != nil {
		return err
	}
	return e.indent(raw)
}

// long makes a long call (see api), shows how far it is, and understands its
// result.
func (e *env) long(what string, into any) ([]byte, error) {
	body, err := e.call(http.MethodPost, what)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	bar := newBar(e.stderr)
	defer bar.end()
	lines := bufio.NewReader(body)
	for {
		b, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("creel went away before it was done: %w; see `creel events`", err)
		}
		var l struct {
			Doing   []snapshot.Doing
			Result  json.RawMessage
			Problem json.RawMessage
		}
		if err := json.Unmarshal(b, &l); err != nil {
			return nil, fmt.Errorf("cannot understand creel's answer: %w", err)
		}
		switch {
		case l.Problem != nil:
			bar.end()
			return nil, problemIn(l.Problem)
		case l.Result != nil:
			return l.Result, json.Unmarshal(l.Result, into)
		case len(l.Doing) > 0:
			bar.show(progressText(l.Doing[len(l.Doing)-1]))
		}
	}
}
