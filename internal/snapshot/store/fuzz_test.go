package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// FuzzSidecar holds the decoder to taking nothing that the encoder would not
// write, and to giving back what it has taken.
func FuzzSidecar(f *testing.F) {
	f.Add([]byte(`{"p":"state","k":"dir","m":448,"t":1}` + "\n"))
	f.Add([]byte(`{"p":["/3N0YXRl"],"k":"dir","m":448,"t":1,"n":5,"x":[{"n":"user.a","v":"AQ=="}]}` + "\n"))
	f.Add([]byte(`{"p":"a/b","k":"file","m":420,"s":3,"t":-1,"key":"k","o":"00112233445566778899aabbccddeeff"}` + "\n"))
	f.Add([]byte(`{"p":"a/l","k":"symlink","m":511,"t":0,"to":"../x"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var files []*file
		if decodeShard(data, 0, 1, func(f *file) error { files = append(files, f); return nil }) != nil {
			return
		}
		var again bytes.Buffer
		for _, f := range files {
			if strings.HasPrefix(f.Path, "/") || strings.Contains("/"+f.Path+"/", "/../") {
				t.Fatalf("%q is taken for a path", f.Path)
			}
			line, err := encodeRecord(f)
			if err != nil {
				t.Fatal(err)
			}
			again.Write(line)
		}
		var twice []*file
		if err := decodeShard(again.Bytes(), 0, 1, func(f *file) error { twice = append(twice, f); return nil }); err != nil {
			t.Fatalf("%v\n%s", err, again.Bytes())
		}
		for i := range files {
			a, _ := encodeRecord(files[i])
			b, _ := encodeRecord(twice[i])
			if !bytes.Equal(a, b) {
				t.Fatalf("%s\n%s", a, b)
			}
		}
	})
}

// FuzzKey holds the reader of keys to one text for one key, and to telling no
// part of what it has read.
func FuzzKey(f *testing.F) {
	key := NewKey().Reveal()
	f.Add(key)
	f.Add(strings.ToLower(key) + "\n")
	f.Add(keyFileHead + key)
	f.Add(keyPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			if !errors.Is(err, ErrBadKey) {
				t.Fatal(err)
			}
			if len(text) > 20 && strings.Contains(err.Error(), text) {
				t.Fatal("the error tells the key")
			}
			return
		}
		if again, err := ParseKey(k.Reveal()); err != nil || again != k {
			t.Fatalf("%v", err)
		}
	})
}

// TestKeyTypos changes each character of a key: all are noticed.
func TestKeyTypos(t *testing.T) {
	key := NewKey().Reveal()
	for i := len(keyPrefix); i < len(key); i++ {
		for _, c := range "0Z" {
			if key[i] == '-' || rune(key[i]) == c {
				continue
			}
			if _, err := ParseKey(key[:i] + string(c) + key[i+1:]); !errors.Is(err, ErrBadKey) {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if got := NewKey().String(); strings.Contains(got, keyPrefix) {
		t.Errorf("a key shows as %q", got)
	}
}
