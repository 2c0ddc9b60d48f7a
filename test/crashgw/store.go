package crashgw

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// StoreLine is one change of the store, as it stands in its file.
type StoreLine struct {
	Mono  int64  `json:"mono"` // CLOCK_MONOTONIC, nanoseconds
	PID   int    `json:"pid"`
	List  string `json:"list"`
	Value string `json:"value"`
	Key   string `json:"key,omitempty"` // Idempotency-Key
}

// Stored is the answer of /store: the list as it was found or left.
type Stored struct {
	List      string   `json:"list"`
	Values    []string `json:"values"`
	PID       int      `json:"pid"`
	Duplicate bool     `json:"duplicate,omitempty"` // the key, or with PUT the value, was known: nothing was added
}

// maxValue bounds the body of a change, in bytes.
const maxValue = 4096

// store is the state of the gateway: lists to which values are added. It is all
// on disk, so that it goes on where it was whichever process comes next.
type store struct {
	file  *lineFile
	lists map[string][]string
	keys  map[string]bool
}

func openStore(path string) (*store, error) {
	f, err := openLines(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the store: %w", err)
	}
	return &store{file: f, lists: make(map[string][]string), keys: make(map[string]bool)}, nil
}

// change looks at a list, or adds a value to it: on disk first. The same key, or
// with once the same value, is added once only.
func (s *store) change(ctx context.Context, l StoreLine, add, once bool) (values []string, duplicate bool, err error) {
	err = s.file.locked(ctx, func() error {
		if err := s.catchUp(); err != nil {
			return err
		}
		if add {
			duplicate = s.keys[l.Key] || once && slices.Contains(s.lists[l.List], l.Value)
		}
		if add && !duplicate {
			line, err := json.Marshal(l)
			if err == nil {
				err = s.file.append(line)
			}
			if err == nil {
				err = s.file.f.Sync()
			}
			if err == nil {
				err = s.catchUp()
			}
			if err != nil {
				return fmt.Errorf("cannot store a value: %w", err)
			}
		}
		values = slices.Clone(s.lists[l.List])
		return nil
	})
	return values, duplicate, err
}

func (s *store) catchUp() error {
	return s.file.catchUp(func(line []byte) {
		var l StoreLine
		if json.Unmarshal(line, &l) != nil {
			return // torn: never answered
		}
		s.lists[l.List] = append(s.lists[l.List], l.Value)
		if l.Key != "" {
			s.keys[l.Key] = true
		}
	})
}

// serveStore reads a list, or adds the body to it.
func (c *call) serveStore() {
	l := StoreLine{PID: os.Getpid(), List: c.params.text("list"), Key: c.r.Header.Get("Idempotency-Key")}
	forget := c.params.flag("forget")
	if l.List == "" {
		c.params.fail("cannot use the store without list=")
	}
	if c.store == nil {
		c.params.fail("cannot use the store: there is none; start crashgw with --store")
	}
	add, once := c.r.Method != http.MethodGet, c.r.Method == http.MethodPut
	if add && !once && c.r.Method != http.MethodPost {
		c.params.fail("cannot use %s with the store: use GET, PUT or POST", c.r.Method)
	}
	if c.refused() {
		return
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, maxValue))
	if err != nil {
		c.plan = plan{}
		c.reply(http.StatusBadRequest, failure{fmt.Sprintf("cannot read the body: %v", err)})
		return
	}
	l.Value, l.Mono = string(body), Monotonic()
	if forget || once {
		l.Key = ""
	}
	values, duplicate, err := c.store.change(c.r.Context(), l, add, once)
	if err != nil {
		c.reply(http.StatusInternalServerError, failure{err.Error()})
		return
	}
	c.reply(http.StatusOK, Stored{List: l.List, Values: values, PID: l.PID, Duplicate: duplicate})
}

// Monotonic is the present time of a clock that all processes of the machine
// share and that nobody sets (CLOCK_MONOTONIC, clock_gettime(2)).
func Monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // only for a clock that does not exist
	}
	return ts.Nano()
}
