package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func framerOn(in []byte, masks bool) (*framer, *bytes.Buffer) {
	out := &bytes.Buffer{}
	return &framer{r: bufio.NewReader(bytes.NewReader(in)), w: out, masks: masks}, out
}

func TestFrameThereAndBack(t *testing.T) {
	for _, masks := range []bool{false, true} {
		for _, n := range []int{0, 1, 125, 126, 128, 65535} {
			t.Run(fmt.Sprintf("masked %t, %d bytes", masks, n), func(t *testing.T) {
				message := bytes.Repeat([]byte{0xa5, 1, 2}, n)[:n]
				from, wire := framerOn(nil, masks)
				if err := from.send(opBinary, message); err != nil {
					t.Fatal(err)
				}
				if masked := wire.Bytes()[1]&0x80 != 0; masked != masks {
					t.Errorf("the mask bit is %t", masked)
				}
				if n > 2 && bytes.Contains(wire.Bytes(), message) == masks {
					t.Errorf("the message is on the wire as it is: %t", !masks)
				}
				to, _ := framerOn(wire.Bytes(), !masks)
				got, err := to.next()
				if err != nil || !bytes.Equal(got, message) {
					t.Errorf("%d bytes came, %v; want the %d that were sent", len(got), err, n)
				}
			})
		}
	}
	f, _ := framerOn(nil, false)
	if err := f.send(opBinary, make([]byte, largestFrame)); err == nil {
		t.Error("a frame that nobody can read was sent")
	}
}

func TestControlFrames(t *testing.T) {
	in := []byte{0x80 | opPong, 0, 0x80 | opPing, 2, 'h', 'i', 0x80 | opBinary, 1, 'm', 0x80 | opClose, 0}
	f, out := framerOn(in, false)
	if m, err := f.next(); err != nil || string(m) != "m" {
		t.Fatalf("message = %q, %v", m, err)
	}
	if want := []byte{0x80 | opPong, 2, 'h', 'i'}; !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the ping was answered with %v, want %v", out.Bytes(), want)
	}
	if m, err := f.next(); !errors.Is(err, errClosed) {
		t.Errorf("after the close frame: %q, %v; want %v", m, err, errClosed)
	}
}

func TestBrokenFrames(t *testing.T) {
	for name, in := range map[string][]byte{
		"cut in the head":    {0x82},
		"cut in the length":  {0x82, 126, 1},
		"cut in the mask":    {0x82, 0x81, 1, 2},
		"cut in the payload": {0x82, 5, 'a'},
		"too large":          {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0},
	} {
		f, _ := framerOn(in, false)
		if m, err := f.next(); err == nil {
			t.Errorf("%s: message %q, want an error", name, m)
		}
	}
}

// The example of RFC 6455 §1.3.
func TestAcceptUpgrade(t *testing.T) {
	if got := string(acceptUpgrade("dGhlIHNhbXBsZSBub25jZQ==")); !strings.Contains(got, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
		t.Errorf("answer = %q", got)
	}
}
