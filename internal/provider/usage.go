package provider

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// How a request came out, beside well; the classes of errors.
const (
	ErrBudget    = "budget"     // refused: over a budget
	ErrKey       = "key"        // refused: the key cannot be had
	ErrAuth      = "auth"       // 401, 403: the key is not accepted
	ErrRateLimit = "rate_limit" // 429
	ErrClient    = "client"     // another 4xx
	ErrServer    = "server"     // 5xx, a redirect, an error within a stream
	ErrNetwork   = "network"    // no answer
	ErrCut       = "cut"        // an answer that broke off
	ErrCanceled  = "canceled"   // the gateway left before the end
)

// dayForm is how days are written.
const dayForm = "2006-01-02"

// ModelUsage is what was asked of one model on one day. It is added up: two of the
// same day, provider and model make one.
type ModelUsage struct {
	Day      string `json:"day"` // YYYY-MM-DD, in the time zone of creel's process
	Provider string `json:"provider"`
	Model    string `json:"model"` // as requests name it; empty: they name none
	// Requests are those that were sent; Unmetered those of them whose answer was
	// good and did not tell how many tokens were used.
	Requests     int64 `json:"requests"`
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	Unmetered    int64 `json:"unmetered,omitempty"`
	// Errors are requests that did not come out well, by class.
	Errors map[string]int64 `json:"errors,omitempty"`
	// Answers are those that have begun; it took their providers FirstByte in all,
	// from the arrival of the request, and FirstByteMax at most.
	Answers      int64         `json:"answers"`
	FirstByte    time.Duration `json:"first_byte_ns"`
	FirstByteMax time.Duration `json:"first_byte_max_ns"`
}

// Tokens are those that went in and out.
func (u ModelUsage) Tokens() int64 { return u.InputTokens + u.OutputTokens }

// FirstByteMean is the mean time to the first byte; 0: there was no answer.
func (u ModelUsage) FirstByteMean() time.Duration {
	if u.Answers == 0 {
		return 0
	}
	return u.FirstByte / time.Duration(u.Answers)
}

// usageKey is what ModelUsage is added up by.
type usageKey struct{ day, provider, model string }

func (u ModelUsage) key() usageKey { return usageKey{u.Day, u.Provider, u.Model} }

// add adds another of the same key.
func (u *ModelUsage) add(o ModelUsage) {
	u.Requests += o.Requests
	u.InputTokens += o.InputTokens
	u.OutputTokens += o.OutputTokens
	u.Unmetered += o.Unmetered
	u.Answers += o.Answers
	u.FirstByte += o.FirstByte
	u.FirstByteMax = max(u.FirstByteMax, o.FirstByteMax)
	for class, n := range o.Errors {
		if u.Errors == nil {
			u.Errors = map[string]int64{}
		}
		u.Errors[class] += n
	}
}

// sums are ModelUsages by key.
type sums map[usageKey]*ModelUsage

func (s sums) add(u ModelUsage) {
	have := s[u.key()]
	if have == nil {
		have = &ModelUsage{Day: u.Day, Provider: u.Provider, Model: u.Model}
		s[u.key()] = have
	}
	have.add(u)
}

// list gives copies, newest day first, then by provider and model.
func (s sums) list() []ModelUsage {
	list := make([]ModelUsage, 0, len(s))
	for _, u := range s {
		c := *u
		c.Errors = maps.Clone(u.Errors)
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b ModelUsage) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return list
}
