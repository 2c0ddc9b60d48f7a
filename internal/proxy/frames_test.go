package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// frame is a frame as it stands on the wire.
func frame(first byte, masked bool, payload []byte) []byte {
	b := []byte{first}
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, bit|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, bit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bit|127), uint64(n))
	}
	if !masked {
		return append(b, payload...)
	}
	key := []byte{1, 2, 3, 4}
	b = append(b, key...)
	at := len(b)
	b = append(b, payload...)
	mask(b[at:], key)
	return b
}

func closeFrame(masked bool, payload ...byte) []byte { return frame(0x88, masked, payload) }

func codeOf(c uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, c), reason...)
}

// through passes a stream in the given pieces.
func through(f *frames, pieces ...[]byte) []byte {
	var out []byte
	for _, p := range pieces {
		err := f.pass(bytes.Clone(p), func(b []byte) error { out = append(out, b...); return nil })
		if err != nil {
			panic(err)
		}
	}
	return out
}

// TestFramesChange: what is passed on in place of what comes.
func TestFramesChange(t *testing.T) {
	long := strings.Repeat("é", 61) + "x" // 123 bytes
	for _, tt := range []struct {
		name     string
		in, want []byte
	}{
		{"no code", nil, nil},
		{"one byte", []byte{3}, codeOf(1011, "")},
		{"1000", codeOf(1000, "bye"), codeOf(1000, "bye")},
		{"1003 without a reason", codeOf(1003, ""), codeOf(1003, "")},
		{"1004", codeOf(1004, "x"), codeOf(1011, "x")},
		{"1005", codeOf(1005, "x"), codeOf(1011, "x")},
		{"1006", codeOf(1006, ""), codeOf(1011, "")},
		{"1012", codeOf(1012, "x"), codeOf(1012, "x")},
		{"1015", codeOf(1015, "x"), codeOf(1011, "x")},
		{"999", codeOf(999, "x"), codeOf(1011, "x")},
		{"0", codeOf(0, "x"), codeOf(1011, "x")},
		{"2999", codeOf(2999, "x"), codeOf(1011, "x")},
		{"3000", codeOf(3000, "x"), codeOf(3000, "x")},
		{"4999", codeOf(4999, "x"), codeOf(4999, "x")},
		{"5000", codeOf(5000, "x"), codeOf(1011, "x")},
		{"65535", codeOf(65535, "x"), codeOf(1011, "x")},
		{"as long as can be", codeOf(1001, long), codeOf(1001, long)},
		{"not UTF-8", codeOf(1001, "a\xffb"), codeOf(1001, "a\uFFFDb")},
		{"not UTF-8 and longer when mended", codeOf(1001, strings.Repeat("\xff", 123)), codeOf(1001, strings.Repeat("\uFFFD", 41))},
	} {
		for _, masked := range []bool{false, true} {
			f := &frames{}
			if got := through(f, closeFrame(masked, tt.in...)); !bytes.Equal(got, closeFrame(masked, tt.want...)) {
				t.Errorf("%s, masked=%t: %x, want %x", tt.name, masked, got, closeFrame(masked, tt.want...))
			}
			if !f.closed || !f.between() {
				t.Errorf("%s: closed=%t, between=%t", tt.name, f.closed, f.between())
			}
		}
	}
	own := frame(0x8A, true, []byte(pingPayload))
	if got := through(&frames{}, own); len(got) > 0 {
		t.Errorf("the pong for creel's own ping is passed on as %x", got)
	}
	for _, other := range [][]byte{frame(0x8A, true, []byte(pingPayload+"x")), frame(0x89, false, []byte(pingPayload)), frame(0x8A, false, nil)} {
		if got := through(&frames{}, other); !bytes.Equal(got, other) {
			t.Errorf("%x is passed on as %x", other, got)
		}
	}
}

// TestOversizedControl: a close frame that is longer than any may be is the
// peers' affair.
func TestOversizedControl(t *testing.T) {
	in := append(frame(0x88, true, make([]byte, 200)), frame(0x81, true, []byte("after"))...)
	for cut := range in {
		if got := through(&frames{}, in[:cut], in[cut:]); !bytes.Equal(got, in) {
			t.Fatalf("cut at %d: passed on as %x", cut, got)
		}
	}
}

// TestBetween: creel's own frames go between two frames, and nowhere else.
func TestBetween(t *testing.T) {
	for _, one := range [][]byte{frame(0x81, true, []byte("hello")), frame(0x82, false, make([]byte, 300)), closeFrame(true, codeOf(1000, "x")...), frame(0x8A, false, []byte("pong")), frame(0x82, true, make([]byte, 70000))} {
		f := &frames{}
		for i := range one {
			if f.between() != (i == 0) {
				t.Fatalf("after %d of %d bytes: %t", i, len(one), f.between())
			}
			through(f, one[i:i+1])
		}
		if !f.between() {
			t.Error("not between two frames at the end of one")
		}
	}
}

// TestHeldBackAlone: no byte of a data frame waits for another.
func TestHeldBackAlone(t *testing.T) {
	one := frame(0x82, true, make([]byte, 300))
	f := &frames{}
	for i := range one {
		if got := through(f, one[i:i+1]); !bytes.Equal(got, one[i:i+1]) {
			t.Fatalf("byte %d comes out as %x", i, got)
		}
	}
}

// TestFramesError: a write that fails ends the passing.
func TestFramesError(t *testing.T) {
	boom := errors.New("boom")
	for _, one := range [][]byte{frame(0x81, true, []byte("hello")), closeFrame(true, codeOf(1000, "x")...), frame(0x88, true, make([]byte, 200)), append(frame(0x81, true, nil), frame(0x8A, true, nil)...)} {
		if err := new(frames).pass(one, func([]byte) error { return boom }); !errors.Is(err, boom) {
			t.Errorf("%x: %v", one, err)
		}
	}
}

// randomStream is a stream of frames that are to pass unchanged, and how it
// comes out: the same, without the pongs that answer creel's own pings.
func randomStream(r *rand.Rand) (in, want []byte) {
	for range r.IntN(12) {
		masked := r.IntN(2) == 0
		payload := make([]byte, []int{0, 1, 2, 125, 126, 127, 300, 65535, 65536, r.IntN(1000)}[r.IntN(10)])
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		var one []byte
		switch r.IntN(6) {
		case 0: // a sound close frame
			one = closeFrame(masked, codeOf(uint16(3000+r.IntN(2000)), strings.Repeat("é", r.IntN(60)))...)
		case 1:
			in = append(in, frame(0x8A, masked, []byte(pingPayload))...)
			continue
		case 2:
			one = frame(0x8A, masked, payload[:min(len(payload), 125)])
		case 3:
			one = frame(0x89, masked, payload[:min(len(payload), 125)])
		default:
			one = frame([]byte{0x81, 0x02, 0x00, 0x80, 0xC1}[r.IntN(5)], masked, payload)
		}
		in, want = append(in, one...), append(want, one...)
	}
	return in, want
}

// FuzzFrames: random streams of frames, cut at random places, come out to the
// byte.
func FuzzFrames(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		in, want := randomStream(r)
		var got []byte
		fs := &frames{}
		for rest := in; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			if r.IntN(2) == 0 {
				n = min(n, 1+r.IntN(5))
			}
			got = append(got, through(fs, rest[:n])...)
			rest = rest[n:]
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%x comes out as %x, want %x", in, got, want)
		}
		if !fs.between() {
			t.Error("not between two frames at the end")
		}
	})
}

// FuzzAnyBytes: whatever comes, nothing breaks, and what comes out depends on
// the bytes alone, not on how they are cut.
func FuzzAnyBytes(f *testing.F) {
	f.Add([]byte{0x88, 0x80, 1, 2, 3, 4}, uint64(1))
	f.Add([]byte{0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1}, uint64(2))
	f.Add([]byte{0x8a, 0x7e, 0, 1, 2, 0x88, 1, 1}, uint64(3))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		whole := through(&frames{}, in)
		r := rand.New(rand.NewPCG(seed, 0))
		var got []byte
		fs := &frames{}
		for rest := in; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			got = append(got, through(fs, rest[:n])...)
			rest = rest[n:]
		}
		if !bytes.Equal(got, whole) {
			t.Errorf("%x: whole %x, in pieces %x", in, whole, got)
		}
	})
}
