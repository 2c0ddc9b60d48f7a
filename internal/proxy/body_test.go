package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/iotest"
)

// stepped is a client that sends when it is told to.
type stepped struct {
	pieces chan []byte // closed: the end
	asked  chan struct{}
}

func newStepped() *stepped {
	return &stepped{pieces: make(chan []byte), asked: make(chan struct{}, 100)}
}

func (s *stepped) Read(p []byte) (int, error) {
	s.asked <- struct{}{}
	b, ok := <-s.pieces
	if !ok {
		return 0, io.EOF
	}
	return copy(p, b), nil
}

// TestAbandonedRead: the bytes of a read that an abandoned attempt has begun are
// the next attempt's.
func TestAbandonedRead(t *testing.T) {
	for name, memory := range map[string]int64{"memory": 100, "disk": 2} {
		t.Run(name, func(t *testing.T) {
			b := &budget{limit: 1000}
			src := newStepped()
			k := newKeptBody(src, memory, 100, b, t.TempDir())
			first := k.reader()
			abandoned := make(chan error, 1)
			go func() {
				buf := make([]byte, 10)
				if n, err := first.Read(buf); n != 3 || err != nil {
					t.Errorf("the first read: %d, %v", n, err)
				}
				_, err := first.Read(buf)
				abandoned <- err
			}()
			src.pieces <- []byte("abc")
			<-src.asked
			<-src.asked // the first attempt waits for more
			second := k.reader()
			got := make(chan []byte, 1)
			go func() {
				all, err := io.ReadAll(second)
				if err != nil {
					t.Error(err)
				}
				got <- all
			}()
			src.pieces <- []byte("def")
			if err := <-abandoned; !errors.Is(err, errSuperseded) {
				t.Errorf("the abandoned attempt got %v", err)
			}
			src.pieces <- []byte("ghi")
			close(src.pieces)
			if all := <-got; string(all) != "abcdefghi" {
				t.Errorf("the second attempt got %q", all)
			}
			third, err := io.ReadAll(k.reader())
			if string(third) != "abcdefghi" || err != nil {
				t.Errorf("the third attempt got %q, %v", third, err)
			}
			if b.used.Load() != 9 {
				t.Errorf("%d bytes of the budget are used", b.used.Load())
			}
			k.close()
			if b.used.Load() != 0 {
				t.Errorf("%d bytes of the budget are not given back", b.used.Load())
			}
		})
	}
}

// TestAbandonedReadNotKept: if there is no room for them, the next attempt fails
// rather than leave them out.
func TestAbandonedReadNotKept(t *testing.T) {
	b := &budget{limit: 1000}
	src := newStepped()
	k := newKeptBody(src, 100, 4, b, "")
	first := k.reader()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 10)
		_, _ = first.Read(buf)
		_, _ = first.Read(buf)
	}()
	src.pieces <- []byte("abc")
	<-src.asked
	<-src.asked
	second := k.reader()
	got := make(chan error, 1)
	go func() {
		all, err := io.ReadAll(second)
		if !bytes.HasPrefix([]byte("abc"), all) {
			t.Errorf("the second attempt got %q", all)
		}
		got <- err
	}()
	src.pieces <- []byte("def")
	if err := <-got; !errors.Is(err, errNotKept) {
		t.Errorf("the second attempt ended with %v", err)
	}
	<-done
	if !k.notKept() || b.used.Load() != 0 {
		t.Errorf("notKept=%t, %d bytes used", k.notKept(), b.used.Load())
	}
	if _, err := k.reader().Read(make([]byte, 1)); !errors.Is(err, errNotKept) {
		t.Errorf("a third attempt: %v", err)
	}
	k.close()
}

// TestNoNameOnDisk: what is kept on disk has no name there, and nobody else can
// read it.
func TestNoNameOnDisk(t *testing.T) {
	dir := t.TempDir()
	k := newKeptBody(bytes.NewReader(pattern(100)), 10, 1000, &budget{limit: 1000}, dir)
	if _, err := io.ReadAll(k.reader()); err != nil {
		t.Fatal(err)
	}
	if k.file == nil {
		t.Fatal("nothing is on disk")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if info, err := k.file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if all, err := io.ReadAll(k.reader()); !bytes.Equal(all, pattern(100)) || err != nil {
		t.Errorf("read again: %d bytes, %v", len(all), err)
	}
	k.close()
}

// TestDiskFillsUp: a disk that takes a part is as good as one that takes all, as
// long as there is memory for the rest.
func TestDiskFillsUp(t *testing.T) {
	for name, used := range map[string]int64{"kept": 0, "no memory left": maxHomeless - 10} {
		t.Run(name, func(t *testing.T) {
			const size, half = 4 * pieceSize, 2*pieceSize + 50
			b := &budget{limit: 1 << 20}
			b.homeless.Store(used)
			k := newKeptBody(iotest.HalfReader(bytes.NewReader(pattern(size))), 10, 1<<20, b, t.TempDir())
			first := k.reader()
			if _, err := io.ReadFull(first, make([]byte, half)); err != nil {
				t.Fatal(err)
			}
			k.file = readsOnly(t, k.file) // further writes fail
			rest, err := io.ReadAll(first)
			if err != nil || !bytes.Equal(rest, pattern(size)[half:]) {
				t.Fatalf("the attempt under way: %d bytes, %v", len(rest), err)
			}
			all, err := io.ReadAll(k.reader())
			if used == 0 && (err != nil || !bytes.Equal(all, pattern(size))) {
				t.Errorf("read again: %d bytes, %v", len(all), err)
			}
			if used > 0 && (!errors.Is(err, errNotKept) || !k.notKept()) {
				t.Errorf("read again: %d bytes, %v", len(all), err)
			}
			k.close()
			if got := b.homeless.Load(); got != used || b.used.Load() != 0 {
				t.Errorf("%d bytes of memory and %d of the budget are not given back", got-used, b.used.Load())
			}
		})
	}
}

// readsOnly is the same file, to be read alone.
func readsOnly(t *testing.T, f *os.File) *os.File {
	t.Helper()
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return again
}

// What is kept is read again to the byte, wherever it is: in memory, in the file,
// or on its way there.
func TestKeptInPieces(t *testing.T) {
	want := make([]byte, 3*pieceSize+777)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	b := &budget{limit: 1 << 20}
	k := newKeptBody(iotest.HalfReader(bytes.NewReader(want)), 1000, 1<<20, b, t.TempDir())
	first := k.reader()
	for _, n := range []int{500, 1500, pieceSize, pieceSize + 3000, 2*pieceSize + 1, len(want)} {
		for first.off < int64(n) {
			if _, err := first.Read(make([]byte, 700)); err != nil {
				t.Fatal(err)
			}
		}
		again := make([]byte, first.off)
		for off := 0; off < len(again); {
			k.mu.Lock()
			m, err := k.readKept(again[off:min(off+4096, len(again))], int64(off))
			k.mu.Unlock()
			if err != nil {
				t.Fatalf("at %d of %d: %v", off, len(again), err)
			}
			off += m
		}
		if !bytes.Equal(again, want[:len(again)]) {
			t.Fatalf("the first %d bytes differ", len(again))
		}
	}
	got, err := io.ReadAll(k.reader())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the next attempt reads %d bytes, %v", len(got), err)
	}
	k.close()
	if used := b.used.Load(); used != 0 {
		t.Errorf("%d bytes are still counted", used)
	}
}
