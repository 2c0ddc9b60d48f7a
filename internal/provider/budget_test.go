package provider

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/event"
)

// answerWith tells of tokens.
func answerWith(in, out int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`, in, out)
	}
}

func (w *world) wantStatus(want int, model string) string {
	w.t.Helper()
	resp, body := w.chat(model)
	if resp.StatusCode != want {
		w.t.Fatalf("%s: %s %s, want %d", model, resp.Status, body, want)
	}
	return body
}

// TestUsage: what is counted of requests, by model and class.
func TestUsage(t *testing.T) {
	status := 200
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if status != 200 {
			w.WriteHeader(status)
		}
		answerWith(100, 20)(w, r)
	})
	for _, s := range []int{200, 200, 401, 403, 429, 400, 500} {
		status = s
		w.wantStatus(s, "m")
	}
	u := w.usageOf("m", func(u ModelUsage) bool { return u.Requests == 7 && u.Answers == 7 })
	want := map[string]int64{ErrAuth: 2, ErrRateLimit: 1, ErrClient: 1, ErrServer: 1}
	for class, n := range want {
		if u.Errors[class] != n {
			t.Errorf("%s: %d, want %d", class, u.Errors[class], n)
		}
	}
	if u.InputTokens != 700 || u.OutputTokens != 140 || u.Provider != openAIName || u.Day != "2026-11-26" || u.FirstByteMean() <= 0 || u.FirstByteMax < u.FirstByteMean() {
		t.Errorf("%+v", u)
	}
	// Names are the gateway's choice, and do not grow without bound.
	status = 200
	for i := range maxModels + 20 {
		w.wantStatus(200, fmt.Sprintf("model-%d", i))
	}
	if n := len(w.proxy.Usage()); n > maxModels+1 {
		t.Errorf("%d models are told apart", n)
	}
	w.usageOf(OtherModels, func(u ModelUsage) bool { return u.Requests > 10 })
	w.wantStatus(200, strings.Repeat("x", 500))
}

// TestModelName: the name is found wherever it is, and the body is sent as it came.
func TestModelName(t *testing.T) {
	w := newWorld(t, answerWith(1, 1))
	big := strings.Repeat("0123456789", 60000)
	for body, want := range map[string]string{
		`{"model":"first","messages":[]}`:                                   "first",
		`{"messages":[{"model":"inner"}],"x":{"model":"no"},"model":"end"}`: "end",
		`{"x":"` + big + `","model":"behind"}`:                              "behind",
		`[1,2]`:                                                             "", `{"model":5}`: "", `{"model`: "", `text`: "", ``: "",
	} {
		r := w.request(http.MethodPost, "openai/chat/completions", body)
		if resp, answer := w.do(r); resp.StatusCode != 200 {
			t.Fatalf("%.40s: %s %s", body, resp.Status, answer)
		}
		if _, sent := w.seen.last(t); sent != body {
			t.Errorf("%.40s was sent as %.40s", body, sent)
		}
		w.usageOf(want, func(u ModelUsage) bool { return u.Requests > 0 })
	}
}

// TestBudgets: what is over is refused, in words, told once, until midnight; a new
// creel knows.
func TestBudgets(t *testing.T) {
	budgets := withBudgets(Budget{Provider: openAIName, Requests: 5}, Budget{Model: "m", Tokens: 250}, Budget{Provider: "anthropic", Model: "c", Requests: 1})
	w := newWorld(t, answerWith(100, 20), budgets)
	w.wantStatus(200, "m")
	w.wantStatus(200, "m")
	w.usageOf("m", func(u ModelUsage) bool { return u.Tokens() == 240 })
	w.wantStatus(200, "m") // it was under the limit when it began
	w.usageOf("m", func(u ModelUsage) bool { return u.Tokens() == 360 })
	body := w.wantStatus(http.StatusTooManyRequests, "m")
	if !strings.Contains(body, `"message":"creel: the daily budget of m, 250 tokens, is used up; it resets at 2026-11-27 00:00`) || !strings.Contains(body, `"code":"budget_exceeded"`) {
		t.Errorf("%s", body)
	}
	w.wantStatus(http.StatusTooManyRequests, "m")
	w.wantStatus(200, "other")
	w.wantStatus(200, "other")
	if body := w.wantStatus(http.StatusTooManyRequests, "other"); !strings.Contains(body, "budget of openai, 5 requests") {
		t.Errorf("%s", body)
	}
	claude := w.request(http.MethodPost, "anthropic/v1/messages", `{"model":"c"}`)
	if resp, body := w.do(claude); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, body)
	}
	resp, body := w.do(w.request(http.MethodPost, "anthropic/v1/messages", `{"model":"c"}`))
	if resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, `"rate_limit_error"`) || !strings.Contains(body, `"type":"error"`) || resp.Header.Get("Retry-After") != "" {
		t.Errorf("%s %s", resp.Status, body)
	}
	if n := w.seen.count(); n != 6 {
		t.Errorf("%d requests were sent, want 6", n)
	}
	w.wantTold(3)
	w.restart(budgets)
	w.wantStatus(http.StatusTooManyRequests, "m")
	w.wantStatus(http.StatusTooManyRequests, "other")
	w.wantTold(3)
	for _, s := range w.proxy.Budgets() {
		if !s.Over || !s.Resets.Equal(time.Date(2026, 11, 27, 0, 0, 0, 0, time.Local)) {
			t.Errorf("%+v", s)
		}
	}
	w.clock.set(time.Date(2026, 11, 26, 23, 59, 59, 999, time.Local))
	w.wantStatus(http.StatusTooManyRequests, "m")
	w.clock.set(time.Date(2026, 11, 27, 0, 0, 0, 0, time.Local))
	w.wantStatus(200, "m")
	w.proxy.SetBudgets([]Budget{{Requests: 1}})
	w.wantStatus(http.StatusTooManyRequests, "anything")
	w.proxy.SetBudgets(nil)
	w.wantStatus(200, "anything")
}

func (w *world) wantTold(n int) {
	w.t.Helper()
	list := w.journal.events()
	if len(list) != n {
		w.t.Errorf("told %d times, want %d: %v", len(list), n, list)
	}
	for _, e := range list {
		if e.Kind != event.BudgetExceeded || !strings.Contains(e.Message, "daily budget") {
			w.t.Errorf("%+v", e)
		}
	}
}

// TestBudgetOfAModelNeedsItsName: a request that hides its model does not pass a
// budget for models by.
func TestBudgetOfAModelNeedsItsName(t *testing.T) {
	w := newWorld(t, answerWith(1, 1), withBudgets(Budget{Model: "m", Requests: 1}))
	for _, body := range []string{`{"x":"` + strings.Repeat("x", modelWindow) + `","model":"m"}`, `text`} {
		if resp, answer := w.do(w.request(http.MethodPost, "openai/chat/completions", body)); resp.StatusCode != http.StatusBadRequest || !strings.Contains(answer, "model_unknown") {
			t.Errorf("%s %s", resp.Status, answer)
		}
	}
	if n := w.seen.count(); n != 0 {
		t.Errorf("%d were sent", n)
	}
}

// TestBudgetOfAModelIsNotEvaded: whichever of several names a provider would take, and
// by whichever method, a model that is used up is not had; nor is it when the second
// name comes late, in a body of which the provider has most by then.
func TestBudgetOfAModelIsNotEvaded(t *testing.T) {
	w := newWorld(t, answerWith(1, 1), withBudgets(Budget{Model: "m", Requests: 1}))
	w.wantStatus(200, "m")
	w.wantStatus(http.StatusTooManyRequests, "m")
	late := `{"model":"cheap","messages":["` + strings.Repeat("x", 3*modelWindow) + `"],"model":"m"}`
	for _, body := range []string{
		`{"model":"cheap","model":"m"}`, `{"model":"cheap","Model":"m"}`, `{"MODEL":"m","model":"cheap"}`, `{"Model":"m"}`,
		`{"model":"cheap","mod\u0065l":"m"}`, `{"model":"cheap","x":{"y":["\"}"]},"model":"m"}`, `{"model":"cheap"}{"model":"m"}`,
		`{"model":"cheap",/*"*/"model":"m"/*"*/}`, `{"model":"cheap",'model':"m"}`, `{"model":"cheap",model:"m"}`, `{"model":"cheap","mode\l":"m"}`, late,
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet} {
			if method != http.MethodPost && len(body) > modelWindow {
				continue
			}
			for path, form := range map[string]string{"openai/chat/completions": `"type":"invalid_request_error"`, "anthropic/v1/messages": `"type":"error"`, "ollama/api/chat": `{"code":"model_unknown","error":"creel: `} {
				if resp, answer := w.do(w.request(method, path, body)); resp.StatusCode != http.StatusBadRequest || !strings.Contains(answer, "model_unknown") || !strings.Contains(answer, form) {
					t.Errorf("%s %s %.60s: %s %s", method, path, body, resp.Status, answer)
				}
			}
		}
	}
	if resp, answer := w.do(w.request(http.MethodPut, "openai/chat/completions", `text`)); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%s %s", resp.Status, answer)
	}
	if n := w.seen.count(); n != 1 {
		t.Errorf("%d were sent, want 1", n)
	}
	for _, body := range []string{
		`{"model":"cheap","stop":"model","x":{"model":"m","Model":"m"},"y":["model",{"model":"m"}],"models":[1,-2.5e+3,true,false,null],"` + strings.Repeat("k", 100) + `":"\\\""}` + "\n",
		`{"model":"cheap","messages":["` + strings.Repeat(`x\"`, modelWindow) + `"]}`,
	} {
		if resp, answer := w.do(w.request(http.MethodPost, "openai/chat/completions", body)); resp.StatusCode != 200 {
			t.Errorf("%.60s: %s %s", body, resp.Status, answer)
		}
		if _, sent := w.seen.last(t); sent != body {
			t.Errorf("%.60s was sent as %.60s", body, sent)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if resp, answer := w.do(w.request(method, "openai/models", "")); resp.StatusCode != 200 {
			t.Errorf("%s: %s %s", method, resp.Status, answer)
		}
	}
}

// TestBudgetIsExact: of many requests at once no more pass than there may.
// TestBudgetOfModels: a "*" at the end of a name is for all models that begin like
// that, also for those that are too many to be told apart.
func TestBudgetOfModels(t *testing.T) {
	for _, tt := range []struct {
		budget, model string
		covers        bool
	}{
		{"gpt-6*", "gpt-6-astra", true},
		{"gpt-6*", "gpt-6", true},
		{"gpt-6*", "gpt-5", false},
		{"gpt-6*", "my-gpt-6", false},
		{"gpt-6", "gpt-6-astra", false},
		{"g*-6", "gpt-6", false},
		{"*", "anything", true},
		{"", "anything", true},
	} {
		if got := (Budget{Model: tt.budget}).covers("openai", tt.model); got != tt.covers {
			t.Errorf("a budget for %q covers %q: %v", tt.budget, tt.model, got)
		}
	}
	const more = 20
	w := newWorld(t, answerWith(1, 1), withBudgets(
		Budget{Model: "model-*", Requests: maxModels + more}, Budget{Model: "mo*", Requests: 1000}, Budget{Provider: "another", Model: "model-is-not-its*", Requests: 1}))
	for i := range maxModels + more {
		w.wantStatus(200, fmt.Sprintf("model-%d", i))
	}
	if body := w.wantStatus(429, "model-x"); !strings.Contains(body, "model-*") {
		t.Errorf("the refusal does not say which budget: %s", body)
	}
	w.wantStatus(200, "another")
	u := w.usageOf("model-*", func(u ModelUsage) bool { return u.Requests == more })
	if u.Errors[ErrBudget] != 1 {
		t.Errorf("%+v", u)
	}
	for _, s := range w.proxy.Budgets()[:2] {
		if s.UsedRequests != maxModels+more {
			t.Errorf("%+v", s)
		}
	}
}

func TestBudgetIsExact(t *testing.T) {
	w := newWorld(t, answerWith(1, 1), withBudgets(Budget{Requests: 7}))
	var requests sync.WaitGroup
	for range 40 {
		requests.Go(func() {
			resp, err := w.client.Do(w.request(http.MethodPost, "openai/chat/completions", `{"model":"m"}`))
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close() // read to its end
		})
	}
	requests.Wait()
	if n := w.seen.count(); n != 7 {
		t.Errorf("%d were sent, want 7", n)
	}
}

func openTestLedger(t testing.TB, w *world, path string) *Ledger {
	t.Helper()
	l, err := OpenLedger(LedgerOptions{Path: path, Now: w.clock.Now, Logger: w.proxy.opts.Logger})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLedgerOfTwo: two creels count into one file, while it is written anew again
// and again; each knows in the end what both have counted, and so does a third.
func TestLedgerOfTwo(t *testing.T) {
	w := newWorld(t, answerOK)
	path := filepath.Join(t.TempDir(), "usage.jsonl")
	a, b := openTestLedger(t, w, path), openTestLedger(t, w, path)
	var counting sync.WaitGroup
	const each = 1000
	for _, l := range []*Ledger{a, b} {
		counting.Go(func() {
			for i := range each {
				u, _, no, _ := l.Begin("p", fmt.Sprintf("m%d", i%5), nil, func(string) bool { return true })
				if no != nil {
					t.Error(no.message)
				}
				u.OutputTokens = 1
				l.Add(u)
				if i%10 == 0 {
					if err := l.save(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	counting.Wait()
	a.Close()
	b.Add(ModelUsage{Day: "2026-11-26", Provider: "p", Model: "last", Requests: 1})
	if err := b.save(); err != nil { // it hears what a has counted last
		t.Fatal(err)
	}
	total := func(l *Ledger) (requests, tokens int64) {
		for _, u := range l.Usage() {
			requests += u.Requests
			tokens += u.OutputTokens
		}
		return requests, tokens
	}
	if r, n := total(b); r != 2*each+1 || n != 2*each {
		t.Errorf("one knows of %d requests and %d tokens", r, n)
	}
	b.Close()
	third := openTestLedger(t, w, path)
	defer third.Close()
	if r, n := total(third); r != 2*each+1 || n != 2*each {
		t.Errorf("the next one knows of %d requests and %d tokens", r, n)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > compactAt || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestLedgerKeepsWhatItCan: a line that was cut off, and nonsense, cost themselves
// alone; old days go.
func TestLedgerKeepsWhatItCan(t *testing.T) {
	w := newWorld(t, answerOK)
	path := filepath.Join(t.TempDir(), "usage.jsonl")
	write(t, path, `{"day":"2026-11-26","provider":"p","model":"m","requests":3}`+"\nnonsense\n"+`{"day":"2020-01-01","provider":"p","model":"m","requests":9}`+"\n"+`{"day":"2026-11-26","provider":"p","mod`)
	l := openTestLedger(t, w, path)
	l.Add(ModelUsage{Day: "2026-11-26", Provider: "p", Model: "m", Requests: 1})
	l.Close()
	l = openTestLedger(t, w, path)
	defer l.Close()
	if list := l.Usage(); len(list) != 1 || list[0].Requests != 4 {
		t.Errorf("%+v", list)
	}
}

// TestLedgerKeepsWhatIsBesideRubbish: what the death of the machine may leave, more zeros
// than a line has room for, costs itself alone, and does not keep creel from starting.
func TestLedgerKeepsWhatIsBesideRubbish(t *testing.T) {
	w := newWorld(t, answerOK)
	rubbish := strings.Repeat("\x00", 3*maxLedgerLine)
	const line = `{"day":"2026-11-26","provider":"p","model":"m","requests":3}` + "\n"
	for name, text := range map[string]string{
		"within": line + rubbish + "\n" + line, "at the end": line + line + rubbish, "before": rubbish + "\n" + line + line,
	} {
		path := filepath.Join(t.TempDir(), "usage.jsonl")
		write(t, path, text)
		for range 2 {
			l := openTestLedger(t, w, path)
			l.Add(ModelUsage{Day: "2026-11-26", Provider: "p", Model: "m", Requests: 1})
			l.Close()
		}
		l := openTestLedger(t, w, path)
		if list := l.Usage(); len(list) != 1 || list[0].Requests != 8 {
			t.Errorf("%s: %+v", name, list)
		}
		l.Close()
	}
}

// TestLedgerCutShort: a file that somebody has emptied is gone on with.
func TestLedgerCutShort(t *testing.T) {
	w := newWorld(t, answerOK)
	path := filepath.Join(t.TempDir(), "usage.jsonl")
	l := openTestLedger(t, w, path)
	count := func(requests int64) {
		t.Helper()
		l.Add(ModelUsage{Day: "2026-11-26", Provider: "p", Model: "m", Requests: requests})
		if err := l.save(); err != nil {
			t.Error(err)
		}
	}
	count(3)
	for _, size := range []int64{40, 0} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		count(2)
	}
	if list := l.Usage(); len(list) != 1 || list[0].Requests != 7 {
		t.Errorf("in memory: %+v", list)
	}
	l.Close()
	l = openTestLedger(t, w, path)
	defer l.Close()
	if list := l.Usage(); len(list) != 1 || list[0].Requests != 2 {
		t.Errorf("in the file: %+v", list)
	}
}

// TestLedgerWithoutDisk: what cannot be written is kept, and written when it can be.
func TestLedgerWithoutDisk(t *testing.T) {
	w := newWorld(t, answerOK)
	dir := filepath.Join(t.TempDir(), "away")
	path := filepath.Join(dir, "usage.jsonl")
	l := openTestLedger(t, w, path)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a file in the folder's place")
	l.Add(ModelUsage{Day: "2026-11-26", Provider: "p", Model: "m", Requests: 1})
	if err := l.save(); err == nil {
		t.Error("it was written nowhere")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { // the ledger may have been faster
		t.Fatal(err)
	}
	l.Close()
	again := openTestLedger(t, w, path)
	defer again.Close()
	if list := again.Usage(); len(list) != 1 || list[0].Requests != 1 {
		t.Errorf("%+v", list)
	}
}
