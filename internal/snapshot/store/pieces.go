package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/kopia/kopia/repo/object"
)

// Files that a gateway changes in place, a few pages at a time, are cut finer
// than kopia's splitters can: into pages, of which those that did not change are
// stored already. kopia reads the result like any other object.

// Beginnings of files that change page by page: SQLite databases ("Database File
// Format", section 1.3) and their write-ahead logs (section 4.1).
var pagedFiles = [][]byte{
	[]byte("SQLite format 3\x00"),
	{0x37, 0x7f, 0x06, 0x82},
	{0x37, 0x7f, 0x06, 0x83},
}

// growingNames are of files that grow at their end.
var growingNames = []string{".jsonl", ".ndjson", ".log"}

// pieceSize tells how finely a file is cut; 0: as kopia does. What a change
// costs is the pieces it touches and the list of all pieces (some 40 bytes
// each), so the larger a file is, the larger are its pieces.
func pieceSize(name string, begin []byte, size int64) int {
	fine := slices.Contains(growingNames, path.Ext(name)) ||
		slices.ContainsFunc(pagedFiles, func(magic []byte) bool { return bytes.HasPrefix(begin, magic) })
	switch {
	case !fine || size <= 8<<10 || size > 256<<20:
		return 0
	case size <= 2<<20:
		return 4 << 10
	case size <= 16<<20:
		return 8 << 10
	case size <= 64<<20:
		return 16 << 10
	}
	return 32 << 10
}

// file writes the content of a file, which must be size bytes.
func (u *upload) file(ctx context.Context, r io.Reader, name string, size int64) (object.ID, error) {
	opts := object.WriterOptions{Compressor: compressor, MetadataCompressor: compressor, Splitter: splitter(size)}
	b := bufio.NewReaderSize(r, 32<<10)
	begin, err := b.Peek(16)
	if err != nil && err != io.EOF {
		return object.EmptyID, err
	}
	if n := pieceSize(name, begin, size); n > 0 {
		return u.pieces(ctx, b, opts, size, n)
	}
	return u.object(ctx, b, opts, size)
}

// pieces writes an object of pieces of n bytes each.
func (u *upload) pieces(ctx context.Context, r io.Reader, opts object.WriterOptions, size int64, n int) (object.ID, error) {
	// The form of kopia's own list of pieces.
	var list struct {
		Stream  string                       `json:"stream"`
		Entries []object.IndirectObjectEntry `json:"entries"`
	}
	list.Stream = "kopia:indirect"
	piece := make([]byte, n)
	for at := int64(0); at < size; {
		want := piece[:min(int64(n), size-at)]
		if _, err := io.ReadFull(r, want); err != nil {
			return object.EmptyID, fmt.Errorf("it ends before its %d bytes: %w", size, err)
		}
		id, err := u.object(ctx, bytes.NewReader(want), opts, int64(len(want)))
		if err != nil {
			return object.EmptyID, err
		}
		list.Entries = append(list.Entries, object.IndirectObjectEntry{Start: at, Length: int64(len(want)), Object: id})
		at += int64(len(want))
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(r, 1)); err != nil || n > 0 {
		return object.EmptyID, fmt.Errorf("it has more than its %d bytes (%w)", size, err)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return object.EmptyID, err
	}
	opts = object.WriterOptions{Prefix: "x", Compressor: compressor, MetadataCompressor: compressor, Splitter: "FIXED-128K"}
	id, err := u.object(ctx, bytes.NewReader(text), opts, int64(len(text)))
	if err != nil {
		return object.EmptyID, err
	}
	return object.ParseID("I" + id.String())
}
