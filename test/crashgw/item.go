package crashgw

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Item is the answer of /item.
type Item struct {
	ID        string `json:"id"`
	PID       int    `json:"pid"`
	Duplicate bool   `json:"duplicate,omitempty"` // the key was known: not executed
}

// entry is a ledger line for r without its body.
func (s *server) entry(r *http.Request, kind Kind) Entry {
	return Entry{
		Time:       time.Now().UTC(),
		PID:        os.Getpid(),
		Generation: s.generation,
		Kind:       kind,
		Method:     r.Method,
	}
}

// serveItem executes: the line is in the ledger before the answer begins. A
// request whose body does not arrive whole is not executed.
func (c *call) serveItem() {
	id := c.params.text("id")
	if id == "" {
		c.params.fail("cannot execute an item without id=")
	}
	if c.ledger == nil {
		c.params.fail("cannot execute an item without a ledger: start crashgw with --ledger")
	}
	if c.refused() {
		return
	}
	n, sum, err := digest(c.r.Body)
	if err != nil {
		c.plan = plan{}
		c.reply(http.StatusBadRequest, failure{fmt.Sprintf("cannot read the body: %v", err)})
		return
	}
	e := c.entry(c.r, KindExecuted)
	e.ID, e.Bytes, e.SHA256 = id, n, sum
	e.Key = c.r.Header.Get("Idempotency-Key")
	keyed := e.Key != "" && (c.r.Method == http.MethodPost || c.r.Method == http.MethodPatch)
	repeat, err := c.ledger.record(c.r.Context(), e, keyed)
	if err != nil {
		c.reply(http.StatusInternalServerError, failure{err.Error()})
		return
	}
	c.reply(http.StatusOK, Item{ID: id, PID: os.Getpid(), Duplicate: repeat})
}

// digest reads r to its end and gives size and SHA-256.
func digest(r io.Reader) (int64, string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

func (c *call) serveLedger() {
	if c.ledger == nil {
		c.params.fail("cannot show the ledger: there is none; start crashgw with --ledger")
	}
	if c.refused() {
		return
	}
	b, err := os.ReadFile(c.ledger.file.path)
	if err != nil {
		c.reply(http.StatusInternalServerError, failure{fmt.Sprintf("cannot read the ledger: %v", err)})
		return
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	// A client that has gone away is its own affair.
	_, _ = c.w.Write(b)
}
