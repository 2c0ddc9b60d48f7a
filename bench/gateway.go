package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// workTime is how long /work and /once take: a request that is being worked on may
// meet a crash.
const workTime = 2 * time.Millisecond

// smallBody is the size of small answers and of small request bodies.
const smallBody = 1024

// identity is a gateway's answer to /whoami.
type identity struct {
	PID     int   `json:"pid"`
	ReadyAt int64 `json:"ready_at"` // Unix time in nanoseconds
}

// benchGateway is the app behind all contestants. Its paths:
//
//	/readyz   200 once it is ready
//	/whoami   an identity
//	/small    1 KiB, after the request's body
//	/big?n=   n bytes
//	/sink     reads the body and answers one byte
//	/echo     WebSocket that sends each message back
//	/work     takes 2 ms for it, and 1 KiB
//	/once?id= the same, after it has written the id into its ledger
type benchGateway struct {
	readyAt atomic.Int64 // 0: not ready
	small   []byte
	big     []byte
	ledger  *os.File // what has been done, a line for each; nil: none is kept
}

// runGateway is the role of a gateway. It listens on 127.0.0.1 at $PORT.
func runGateway(args []string) error {
	flags := flag.NewFlagSet(roleGateway, flag.ContinueOnError)
	boot := flags.Duration("boot", 0, "time until it is ready")
	tooSoon := flags.Bool("too-soon", false, "listen at once, and answer 503 until it is ready")
	ledger := flags.String("ledger", "", "file to write down what was done")
	state := flags.String("state", "", "state folder to change all the time")
	flags.String("tag", "", "of no meaning to the gateway: it tells one run's processes from others")
	if err := flags.Parse(args); err != nil {
		return err
	}
	booted := time.After(*boot)
	if !*tooSoon {
		<-booted
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	g := &benchGateway{small: make([]byte, smallBody), big: make([]byte, 256<<10)}
	if *ledger != "" {
		if g.ledger, err = os.OpenFile(*ledger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return err
		}
	}
	if *tooSoon {
		go func() { // ends when the boot does
			<-booted
			g.readyAt.Store(time.Now().UnixNano())
		}()
	} else {
		g.readyAt.Store(time.Now().UnixNano())
	}
	if *state == "" {
		return http.Serve(l, g)
	}
	over := make(chan error, 2)
	go func() { over <- keepChanging(context.Background(), *state) }() // ends with the process
	go func() { over <- http.Serve(l, g) }()                           // the same
	return <-over
}

// ServeHTTP implements http.Handler.
func (g *benchGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	readyAt := g.readyAt.Load()
	if readyAt == 0 {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/readyz":
		w.WriteHeader(http.StatusOK)
	case "/whoami":
		answerJSON(w, identity{PID: os.Getpid(), ReadyAt: readyAt})
	case "/small":
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler) // the client, or the proxy, is gone
		}
		answerBytes(w, g.small, smallBody)
	case "/big":
		n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answerBytes(w, g.big, n)
	case "/sink":
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		answerBytes(w, g.small[:1], 1)
	case "/once":
		// What is written has happened, whatever becomes of the process: the
		// kernel has it.
		if _, err := fmt.Fprintln(g.ledger, r.URL.Query().Get("id")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fallthrough
	case "/work":
		time.Sleep(workTime)
		answerBytes(w, g.small, smallBody)
	case "/echo":
		echo(w, r)
	default:
		http.NotFound(w, r)
	}
}

// answerBytes answers n bytes, which are those of b again and again.
func answerBytes(w http.ResponseWriter, b []byte, n int64) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for n > 0 {
		k := min(n, int64(len(b)))
		if _, err := w.Write(b[:k]); err != nil {
			panic(http.ErrAbortHandler)
		}
		n -= k
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cannot encode %T: %v", v, err))
	}
	answerBytes(w, b, int64(len(b)))
}

// echo upgrades a connection and sends each message back until the peer ends it.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	if _, err := conn.Write(acceptUpgrade(r.Header.Get("Sec-WebSocket-Key"))); err != nil {
		return
	}
	f := framer{r: buf.Reader, w: conn}
	for {
		m, err := f.next()
		if err != nil {
			return
		}
		if err := f.send(opBinary, m); err != nil {
			return
		}
	}
}
