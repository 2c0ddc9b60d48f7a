package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// dialPatience bounds the time to connect over loopback.
const dialPatience = 5 * time.Second

// wire is one connection of a client that does as little as it can: requests
// are bytes made beforehand, and of an answer it looks at the status and the
// length. What the load generator uses, the proxy does not get.
type wire struct {
	conn net.Conn
	br   *bufio.Reader
	// passed, if not nil, is told of each piece of a body as it goes over the wire.
	passed func(n int)
}

// dialWire connects. All that is done on the connection must be done before
// until.
func dialWire(addr string, until time.Time) (*wire, error) {
	conn, err := net.DialTimeout("tcp", addr, dialPatience)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(until); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &wire{conn: conn, br: bufio.NewReaderSize(conn, 8<<10)}, nil
}

func (w *wire) close() error { return w.conn.Close() }

// getRequest is a GET in bytes.
func getRequest(addr, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr)
}

// bodyHead is the head of a request with a body of n bytes.
func bodyHead(method, addr, path string, n int) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", method, path, addr, n)
}

// get sends a request without a body and returns the answer's.
func (w *wire) get(request []byte) ([]byte, error) {
	if _, err := w.conn.Write(request); err != nil {
		return nil, err
	}
	n, err := w.head("200")
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(w.br, body)
	return body, err
}

// exchange sends a whole request and reads the answer, whose body must be n
// bytes long.
func (w *wire) exchange(request []byte, n int) error {
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	return w.answer(n)
}

// answer reads an answer whose body must be n bytes long.
func (w *wire) answer(n int) error {
	length, err := w.head("200")
	if err != nil {
		return err
	}
	if length != n {
		return fmt.Errorf("the answer is %d bytes long, where %d were to come", length, n)
	}
	_, err = w.br.Discard(n)
	return err
}

// send writes a body of n bytes, those of b again and again.
func (w *wire) send(n int, b []byte) error {
	for n > 0 {
		k, err := w.conn.Write(b[:min(n, len(b))])
		w.passed(k)
		n -= k
		if err != nil {
			return err
		}
	}
	return nil
}

// receive reads an answer whose body must be n bytes long, into b again and
// again.
func (w *wire) receive(n int, b []byte) error {
	length, err := w.head("200")
	if err != nil {
		return err
	}
	if length != n {
		return fmt.Errorf("the answer is %d bytes long, where %d were to come", length, n)
	}
	for n > 0 {
		k, err := w.br.Read(b[:min(n, len(b))])
		w.passed(k)
		n -= k
		if err != nil {
			return err
		}
	}
	return nil
}

// upgrade makes a WebSocket of the connection.
func (w *wire) upgrade(addr string) (*framer, error) {
	if _, err := w.conn.Write(upgradeRequest(addr)); err != nil {
		return nil, err
	}
	if _, err := w.head("101"); err != nil {
		return nil, err
	}
	return &framer{r: w.br, w: w.conn, masks: true}, nil
}

var contentLength = []byte("content-length:")

// head reads the head of an answer and returns the length of its body. An
// answer with another status, or (but for a 101) without a length, is an error.
func (w *wire) head(status string) (int, error) {
	line, err := w.line()
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " || string(line[9:12]) != status {
		return 0, fmt.Errorf("the answer is %q, where %s was to come", line, status)
	}
	length := -1
	for {
		line, err := w.line()
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, fmt.Errorf("cannot read the answer's length: %w", err)
			}
		}
	}
	if length < 0 && status != "101" {
		return 0, errors.New("the answer does not say how long it is")
	}
	return length, nil
}

// line reads one line of a head, which is good until the next read.
func (w *wire) line() ([]byte, error) {
	b, err := w.br.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(b, "\r\n"), nil
}

// whoami asks the gateway behind addr who it is, on a connection of its own.
func whoami(addr string) (identity, error) {
	w, err := dialWire(addr, time.Now().Add(bootPatience))
	if err != nil {
		return identity{}, err
	}
	defer w.close()
	return w.whoami(addr)
}

// whoami asks the gateway who it is.
func (w *wire) whoami(addr string) (identity, error) {
	b, err := w.get(getRequest(addr, "/whoami"))
	if err != nil {
		return identity{}, err
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil {
		return identity{}, fmt.Errorf("cannot read the gateway's identity %q: %w", b, err)
	}
	return id, nil
}
