package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"creel/internal/crashpoint"
	"creel/test/crashgw"
)

// Who dies at a point.
const (
	victimCreel   = "creel"
	victimGateway = "gateway"
	victimBoth    = "both"
)

// Whose passage of a point counts.
const (
	roleOld = "old" // the creel that was there when the orders were given
	roleNew = "new" // any other one
)

// death is an order: whoever passes the point for the nth time since it was
// given kills the victim there. It is carried out once.
type death struct {
	Point  crashpoint.Point `json:"point"`
	Role   string           `json:"role"`
	Nth    int              `json:"nth"`
	Victim string           `json:"victim"`
}

func (d death) String() string {
	return fmt.Sprintf("%s/%s/%d/%s", d.Role, d.Point, d.Nth, d.Victim)
}

// orders are what a world tells its creels, by a file that they read at each
// point: no creel has to be started to be told to die.
type orders struct {
	ID     int     `json:"id"`
	Old    int     `json:"old"` // pid
	Deaths []death `json:"deaths"`
}

// passage is a point that was passed: a line in the file of passages, written
// before the order is carried out.
type passage struct {
	ID    int              `json:"id"` // of the orders
	PID   int              `json:"pid"`
	Role  string           `json:"role"`
	Point crashpoint.Point `json:"point"`
	Nth   int              `json:"nth"`
	Mono  int64            `json:"mono"`
	Death *death           `json:"death,omitempty"` // it was carried out here
}

const (
	ordersFile   = "orders.json"
	passagesFile = "passages.jsonl"
)

// give puts orders in the place of earlier ones.
func give(dir string, o orders) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, ordersFile+".tmp")
	if err := os.WriteFile(temp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, ordersFile))
}

// arm makes this process obey the orders in dir.
func arm(dir string) {
	a := &armed{dir: dir, counts: map[crashpoint.Point]int{}}
	crashpoint.Arm(a.passed)
}

// armed is a creel that obeys.
type armed struct {
	dir    string
	mu     sync.Mutex
	id     int
	counts map[crashpoint.Point]int
}

func (a *armed) passed(p crashpoint.Point) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := os.ReadFile(filepath.Join(a.dir, ordersFile))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var o orders
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		panic(fmt.Sprintf("cannot read the orders: %v", err))
	}
	if o.ID != a.id {
		a.id = o.ID
		clear(a.counts)
	}
	a.counts[p]++
	at := passage{ID: o.ID, PID: os.Getpid(), Role: roleNew, Point: p, Nth: a.counts[p], Mono: crashgw.Monotonic()}
	if at.PID == o.Old {
		at.Role = roleOld
	}
	for i, d := range o.Deaths {
		if d.Point == p && d.Role == at.Role && d.Nth == at.Nth && a.first(o.ID, i) {
			at.Death = &d
		}
	}
	a.note(at)
	if at.Death != nil {
		a.carryOut(*at.Death)
	}
}

// first tells whether nobody has carried out the order yet.
func (a *armed) first(id, n int) bool {
	f, err := os.OpenFile(filepath.Join(a.dir, fmt.Sprintf("done-%d-%d", id, n)), os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		panic(fmt.Sprintf("cannot carry out an order: %v", err))
	}
	return err == nil
}

func (a *armed) note(p passage) {
	line, err := json.Marshal(p)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(filepath.Join(a.dir, passagesFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			_, err = f.Write(append(line, '\n'))
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		panic(fmt.Sprintf("cannot note a passage: %v", err))
	}
}

func (a *armed) carryOut(d death) {
	if d.Victim != victimCreel {
		for _, pid := range gatewaysOf(a.dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	}
	if d.Victim != victimGateway {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // ends this very process
		select {}
	}
}

// population are the processes of a world.
type population struct {
	creels    []int
	instances []int // main processes of gateways, and launchers that are to become one
	orphans   []int
}

func populationOf(dir string) population {
	var p population
	for pid, argv := range processes(dir) {
		switch {
		case len(argv) > 1 && argv[1] == asArmed:
			p.creels = append(p.creels, pid)
		case strings.Contains(strings.Join(argv, " "), "--as-orphan"):
			p.orphans = append(p.orphans, pid)
		default:
			p.instances = append(p.instances, pid)
		}
	}
	return p
}

func gatewaysOf(dir string) []int { return populationOf(dir).instances }

func creelsOf(dir string) []int { return populationOf(dir).creels }

// processes gives the argument lists of all processes that name the folder.
// Zombies have none.
func processes(dir string) map[int][]string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		panic(err) // nothing can be told without it
	}
	found := map[int][]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte(dir)) {
			found[pid] = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		}
	}
	return found
}

// readPassages reads the passages under the orders of that id.
func readPassages(t *testing.T, dir string, id int) []passage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, passagesFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []passage
	for line := range bytes.Lines(b) {
		var p passage
		if err := json.Unmarshal(line, &p); err != nil {
			continue // its writer was killed within
		}
		if p.ID == id {
			all = append(all, p)
		}
	}
	return all
}
