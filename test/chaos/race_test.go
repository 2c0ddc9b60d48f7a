//go:build race

package chaos

// raced tells whether the race detector looks on.
const raced = true
