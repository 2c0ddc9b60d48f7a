package capture

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"creel/internal/snapshot/tree"
)

// Mark tells what the state looks like, without copying anything: marks of two
// moments are equal if no file that would be captured was written, made, removed,
// renamed or given other attributes in between, as far as file times tell. It is
// the same as Cut.Mark of a cut that was taken then.
//
// Errors: *BusyError while a capture is made, and what keeps the roots from being
// read.
func (c *Capturer) Mark(ctx context.Context) (string, error) {
	s, err := c.begin(noProgress{})
	if err != nil {
		return "", err
	}
	defer s.folder.close()
	look := &round{session: s, ctx: ctx, no: 1, look: true}
	if err := look.runFrom(coarseNow()); err != nil { // mappings do not matter: nothing is proved here
		return "", err
	}
	return s.mark(), nil
}

// mark is the mark of what the last round saw.
func (s *session) mark() string {
	h := sha256.New()
	for i := range s.roots {
		putText(h, s.roots[i].Name)
		if top := s.roots[i].top; top != nil {
			markOf(h, top)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// markOf adds a node and all beneath it. The times and the size of a directory
// are left out: files in it that are not captured change them, and those that
// are speak for themselves.
func markOf(h hash.Hash, n *node) {
	st := n.in.Stamp
	if n.kind() == tree.Dir {
		st.Size, st.Mtime, st.Ctime, st.Nlink = 0, 0, 0, 0
	}
	putText(h, n.name)
	// A stamp is of fixed size, and writing to a hash does not fail.
	_ = binary.Write(h, binary.LittleEndian, st)
	for _, c := range n.children {
		if c.rule < 0 && c.in != nil { // what could not be read, too
			markOf(h, c)
		}
	}
	putText(h, "/")
}

// putText adds a text with its length, so that two texts are not taken for one.
func putText(h hash.Hash, text string) {
	var size [4]byte
	binary.LittleEndian.PutUint32(size[:], uint32(len(text)))
	h.Write(size[:])
	h.Write([]byte(text))
}
