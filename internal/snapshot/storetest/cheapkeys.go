package storetest

import "unsafe"

// kopiaDeriver is one of kopia's interface values, of which data points to a
// kopiaPBKDF2.
type kopiaDeriver struct{ _, data unsafe.Pointer }

type kopiaPBKDF2 struct{ rounds, minSalt int }

//go:linkname kopiaDerivers github.com/kopia/kopia/internal/crypto.keyDerivers
var kopiaDerivers map[string]kopiaDeriver

// rounds is kopia's number of rounds of HMAC by which a password becomes a key.
const rounds = 600_000

// CheapKeys has this process derive keys by few rounds. It is called once, before
// any store is opened, and by the processes that use the same stores, too.
//
// Opening a repository derives a key from the password by 600,000 rounds, which
// takes 0.2 s, and 1.6 s under the race detector: nine tenths of the processor time
// of all tests of stores. What they are about does not depend on the number, and
// kopia has no setting for it. That creel's own number works, and that a stock kopia
// knows it, is shown where the program itself runs (test/e2e).
func CheapKeys() {
	d := (*kopiaPBKDF2)(kopiaDerivers["pbkdf2-sha256-600000"].data)
	if d == nil || d.rounds != rounds || d.minSalt != 16 {
		panic("kopia keeps its key derivation elsewhere than in the version that this was written for: adapt CheapKeys, or remove it")
	}
	d.rounds = 1
}
