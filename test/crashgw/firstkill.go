package crashgw

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// firstKill is the state of --first-request-kills.
type firstKill struct {
	file  string // "": always
	armed chan struct{}
}

// newFirstKill reads from file for how many processes the switch is on.
func newFirstKill(file string) (*firstKill, error) {
	k := &firstKill{file: file, armed: make(chan struct{}, 1)}
	if file != "" {
		n, err := readCount(file)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, nil
		}
	}
	k.armed <- struct{}{}
	return k, nil
}

// take is true for the one request that kills.
func (k *firstKill) take() bool {
	if k == nil {
		return false
	}
	select {
	case <-k.armed:
		return true
	default:
		return false
	}
}

// spend takes one off the number in the file.
func (k *firstKill) spend() error {
	if k.file == "" {
		return nil
	}
	n, err := readCount(k.file)
	if err != nil {
		return err
	}
	next := k.file + ".next"
	if err := os.WriteFile(next, []byte(strconv.Itoa(max(n-1, 0))+"\n"), 0o644); err != nil {
		return fmt.Errorf("cannot count the killing in %s: %w", k.file, err)
	}
	if err := os.Rename(next, k.file); err != nil {
		return fmt.Errorf("cannot count the killing in %s: %w", k.file, err)
	}
	return nil
}

func readCount(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("cannot read how often to kill: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("cannot read how often to kill from %s: %q is no number", file, b)
	}
	return n, nil
}

// killByFirstRequest answers 500 without doing anything else, and exits.
// Requests that come meanwhile get no answer.
func (s *server) killByFirstRequest(w http.ResponseWriter, r *http.Request) {
	s.gate.shut()
	if err := s.firstKill.spend(); err != nil {
		s.log.Print(err)
	}
	c := &call{server: s, w: w, r: r}
	_ = c.drain() // see runWhole
	c.sendRaw(answer500("--first-request-kills").wire(close500), false)
	s.die(death{code: s.opts.exitCode(), why: "--first-request-kills"})
}
