package crashgw

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// params reads the switches of a request: the query first, else the header
// Crashgw-<Name>. Problems are collected in errs, so that a handler reads all it
// needs and then asks once.
type params struct {
	r     *http.Request
	query url.Values
	errs  []error
}

// text is the parameter's value, or "" if it is absent.
func (p *params) text(name string) string {
	if p.query == nil {
		q, err := url.ParseQuery(p.r.URL.RawQuery)
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("cannot read the query: %w", err))
		}
		p.query = q
	}
	if v, ok := p.query[name]; ok {
		return v[0]
	}
	return p.r.Header.Get("Crashgw-" + name)
}

func (p *params) duration(name string, or time.Duration) time.Duration {
	v := p.text(name)
	if v == "" {
		return or
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		p.errs = append(p.errs, fmt.Errorf("cannot use %s=%q: use a duration such as 150ms", name, v))
	}
	return d
}

// count is a whole number from 0 to the given limit.
func (p *params) count(name string, or, limit int64) int64 {
	v := p.text(name)
	if v == "" {
		return or
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > limit {
		p.errs = append(p.errs, fmt.Errorf("cannot use %s=%q: use a number from 0 to %d", name, v, limit))
	}
	return n
}

func (p *params) flag(name string) bool {
	v := p.text(name)
	if v == "" {
		return false
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("cannot use %s=%q: use 1 or 0", name, v))
	}
	return b
}

func (p *params) fail(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *params) err() error { return errors.Join(p.errs...) }
