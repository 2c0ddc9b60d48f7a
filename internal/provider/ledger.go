package provider

import (
	"log/slog"
	"sync"
	"time"
)

// keepDays is for how many days usage is kept.
const keepDays = 62

// maxModels is how many models of one provider are told apart on one day: their
// names are the gateway's choice. Those beyond are counted together.
const maxModels = 64

// OtherModels stands for the models beyond that.
const OtherModels = "(other)"

// Ledger keeps count of usage, in memory and in a file.
//
// What is counted is there at once for budgets and readers, and is written by a
// goroutine of the ledger's own, a line for each change. A creel that is killed
// loses what it has counted in the last instant, which is less than a request. Two
// creels, while one hands over to the other, write to the same file and read each
// other's lines (see ledgerFile).
type Ledger struct {
	file *ledgerFile
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex
	sums    sums
	unsaved sums
	told    map[Budget]string // on which day it was told that a budget is used up
	before  map[usageKey]bool // what an earlier creel has refused, and told of
	closed  bool

	saving  sync.Mutex    // held by save: the file is for one at a time
	wake    chan struct{} // has a value: there is something to write
	writing sync.WaitGroup
}

// LedgerOptions are what OpenLedger needs.
type LedgerOptions struct {
	Path   string           // of the file
	Now    func() time.Time // its time zone decides when a day ends
	Logger *slog.Logger
}

// OpenLedger reads what was counted before. A file that is damaged loses the lines
// that are, and says so.
func OpenLedger(o LedgerOptions) (*Ledger, error) {
	l := &Ledger{now: o.Now, log: o.Logger, sums: sums{}, unsaved: sums{}, told: map[Budget]string{}, wake: make(chan struct{}, 1)}
	var err error
	if l.file, err = openLedgerFile(o.Path, l.oldest(), o.Logger, l.heard); err != nil {
		return nil, err
	}
	l.before = map[usageKey]bool{}
	for key, u := range l.sums {
		l.before[key] = u.Errors[ErrBudget] > 0
	}
	l.writing.Go(l.write)
	return l, nil
}

// oldest is the first day that is still kept.
func (l *Ledger) oldest() string { return l.now().AddDate(0, 0, -keepDays).Format(dayForm) }

// heard takes what another creel, or this one before, has written.
func (l *Ledger) heard(u ModelUsage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sums.add(u)
}

// Begin counts a request that is about to be sent, unless a budget is used up: the
// refusal then says so, and first is true if it is the first to do so that day.
// known are models that are always told apart.
func (l *Ledger) Begin(provider, model string, budgets []Budget, known func(string) bool) (counted ModelUsage, over *Budget, no *refusal, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	counted = ModelUsage{Day: now.Format(dayForm), Provider: provider, Model: model}
	if !known(model) && l.manyModels(counted.key()) {
		counted.Model = spare(provider, model, budgets)
	}
	for _, b := range budgets {
		if !b.covers(provider, model) {
			continue
		}
		limit := b.over(l.sums.spend(b, counted.Day))
		if limit == "" {
			continue
		}
		first = l.told[b] != counted.Day && !l.toldBefore(b, counted.Day)
		l.told[b] = counted.Day
		refused := counted
		refused.Errors = map[string]int64{ErrBudget: 1}
		l.addLocked(refused)
		return counted, &b, refusalFor(b, limit, now), first
	}
	sent := counted
	sent.Requests = 1
	l.addLocked(sent)
	return counted, nil, nil, false
}

// toldBefore tells whether an earlier creel has told that a budget is used up.
func (l *Ledger) toldBefore(b Budget, day string) bool {
	for key, refused := range l.before {
		if refused && key.day == day && b.covers(key.provider, key.model) {
			return true
		}
	}
	return false
}

// manyModels tells whether a model would be one too many.
func (l *Ledger) manyModels(key usageKey) bool {
	if l.sums[key] != nil {
		return false
	}
	n := 0
	for k := range l.sums {
		if k.day == key.day && k.provider == key.provider {
			n++
		}
	}
	return n >= maxModels
}

// Add counts more of what Begin has counted.
func (l *Ledger) Add(u ModelUsage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addLocked(u)
}

func (l *Ledger) addLocked(u ModelUsage) {
	l.sums.add(u)
	l.unsaved.add(u)
	if !l.closed {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Usage lists what was counted, newest day first.
func (l *Ledger) Usage() []ModelUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sums.list()
}

// Spending tells what was used of budgets today.
func (l *Ledger) Spending(budgets []Budget) []Spending {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	list := make([]Spending, len(budgets))
	for i, b := range budgets {
		s := Spending{Budget: b, Resets: midnight(now)}
		s.UsedRequests, s.UsedTokens = l.sums.spend(b, now.Format(dayForm))
		s.Over = b.over(s.UsedRequests, s.UsedTokens) != ""
		list[i] = s
	}
	return list
}

// retryWrite is between attempts at writing what could not be written.
const retryWrite = 10 * time.Second

// write writes what is counted, until Close.
func (l *Ledger) write() {
	failed := false
	var retry <-chan time.Time
	for {
		select {
		case _, open := <-l.wake:
			if !open {
				if err := l.save(); err != nil {
					l.log.Error("the usage of model providers could not all be written", "error", err)
				}
				return
			}
			if failed {
				continue // with the retry
			}
		case <-retry:
		}
		err := l.save()
		if err != nil && !failed {
			l.log.Error("the usage of model providers cannot be written; it is kept in memory", "error", err)
		} else if err == nil && failed {
			l.log.Info("the usage of model providers is written again")
		}
		failed, retry = err != nil, nil
		if failed {
			retry = time.After(retryWrite)
		}
	}
}

// save writes what is not written yet.
func (l *Ledger) save() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	batch := l.unsaved
	l.unsaved = sums{}
	oldest := l.oldest()
	for key := range l.sums {
		if key.day < oldest {
			delete(l.sums, key)
		}
	}
	l.mu.Unlock()
	err := l.file.append(batch.list(), oldest)
	if err != nil {
		l.mu.Lock()
		for _, u := range l.unsaved {
			batch.add(*u)
		}
		l.unsaved = batch
		l.mu.Unlock()
	}
	return err
}

// Close writes what is not written yet. What is counted afterwards is lost.
func (l *Ledger) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.wake)
	l.mu.Unlock()
	l.writing.Wait()
	l.file.close()
}
