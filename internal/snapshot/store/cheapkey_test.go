package store_test

import (
	"unsafe"
)

// Almost all the processor time of these tests was that of one function: opening a
// repository derives a key from the password by 600,000 rounds of HMAC, which takes
// 0.2 s, and 1.6 s under the race detector, some 150 times. What is tested here does
// not depend on the number of rounds, so that they are few in this test binary (and
// in the children that it starts); kopia has no setting for it. That creel's own
// number works is shown by every test that runs creel itself (test/state, test/e2e).

// kopiaDeriver is one of kopia's interface values, of which data points to a
// kopiaPBKDF2.
type kopiaDeriver struct{ table, data unsafe.Pointer }

type kopiaPBKDF2 struct{ rounds, minSalt int }

//go:linkname kopiaDerivers github.com/kopia/kopia/internal/crypto.keyDerivers
var kopiaDerivers map[string]kopiaDeriver

func init() {
	d := (*kopiaPBKDF2)(kopiaDerivers["pbkdf2-sha256-600000"].data)
	if d == nil || d.rounds != 600_000 || d.minSalt != 16 {
		panic("kopia keeps its key derivation elsewhere than in the version that this was written for: adapt it, or remove this file")
	}
	d.rounds = 1
}
