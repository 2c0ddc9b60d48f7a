package provider

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Budget is a limit for each day.
type Budget struct {
	Provider string `json:"provider,omitempty"` // empty: all together
	Model    string `json:"model,omitempty"`    // likewise; with a "*" at its end, all models whose names begin like that
	Requests int64  `json:"requests,omitempty"` // 0: no limit
	Tokens   int64  `json:"tokens,omitempty"`   // likewise
}

// String says what the budget is for.
func (b Budget) String() string {
	switch {
	case b.Provider == "" && b.Model == "":
		return "all models"
	case b.Provider == "":
		return b.Model
	case b.Model == "":
		return b.Provider
	}
	return b.Provider + "/" + b.Model
}

func (b Budget) covers(provider, model string) bool {
	return (b.Provider == "" || b.Provider == provider) && (b.Model == "" || b.Model == model || b.pattern() && strings.HasPrefix(model, strings.TrimSuffix(b.Model, "*")))
}

// pattern tells whether the budget is for models by the beginning of their names.
func (b Budget) pattern() bool { return strings.HasSuffix(b.Model, "*") }

// spare is the name under which a model is counted that is one too many to be told
// apart. Budgets for models by the beginning of their names count it all the same: the
// longest of those that are for it is its name, which the shorter ones are for as well.
func spare(provider, model string, budgets []Budget) string {
	name := ""
	for _, b := range budgets {
		if b.pattern() && b.covers(provider, model) && len(b.Model) > len(name) {
			name = b.Model
		}
	}
	return cmp.Or(name, OtherModels)
}

// Spending is a budget and what was used of it today.
type Spending struct {
	Budget
	UsedRequests int64     `json:"used_requests"`
	UsedTokens   int64     `json:"used_tokens"`
	Over         bool      `json:"over"`
	Resets       time.Time `json:"resets"`
}

// spend adds up what was used of a budget on a day.
func (s sums) spend(b Budget, day string) (requests, tokens int64) {
	for key, u := range s {
		if key.day == day && b.covers(key.provider, key.model) {
			requests += u.Requests
			tokens += u.Tokens()
		}
	}
	return requests, tokens
}

// over tells which limit of a budget is used up, in words; empty: none.
func (b Budget) over(requests, tokens int64) string {
	switch {
	case b.Requests > 0 && requests >= b.Requests:
		return fmt.Sprintf("%d requests", b.Requests)
	case b.Tokens > 0 && tokens >= b.Tokens:
		return fmt.Sprintf("%d tokens", b.Tokens)
	}
	return ""
}

// midnight is the end of the day that t is in, by t's time zone. Where a clock is
// put forward over it, it is the first moment of the next day.
func midnight(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, t.Location())
}

// refusalFor is the answer to what is over a budget.
func refusalFor(b Budget, limit string, now time.Time) *refusal {
	resets := midnight(now)
	no := refuse(http.StatusTooManyRequests, "budget_exceeded", fmt.Sprintf("the daily budget of %s, %s, is used up; it resets at %s",
		b, limit, resets.Format("2006-01-02 15:04 MST")))
	// No Retry-After: OpenClaw puts it behind the error, cannot read the message any
	// more then, and shows one of its own. "resets" is what it takes for a reason.
	no.class = ErrBudget
	return no
}
