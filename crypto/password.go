package crypto

import (
	"cmp"
	"fmt"
)

// PasswordParams is what deriving a key from a password costs (argon2id, RFC
// 9106). The zero value stands for [DefaultPasswordParams].
//
// Lower bounds follow the weakest setting of the OWASP Password Storage Cheat
// Sheet (7 MiB, 5 passes): at least 7,168 KiB, and passes times memory at least
// 35,840 KiB. Upper bounds keep a slot that somebody else wrote from costing a
// login more than it is worth: 64 passes, 1 GiB, 16 lanes.
type PasswordParams struct {
	Time    uint32 // passes over the memory, 1 to 64
	Memory  uint32 // KiB, 7,168 to 1,048,576
	Threads uint8  // lanes, 1 to 16; part of the result, whatever the machine has
}

// DefaultPasswordParams returns the second recommended option of RFC 9106,
// section 4: 3 passes over 64 MiB in 4 lanes. It is stronger than any of OWASP's
// options, and affordable: tokens and [Verified] see to it that a derivation is
// rare, and [Pool] that few run at once. The first option, 2 GiB, is not meant
// for a server that many people log in to.
func DefaultPasswordParams() PasswordParams {
	return PasswordParams{Time: 3, Memory: 64 << 10, Threads: 4}
}

// LightPasswordParams returns the second option of the OWASP Password Storage Cheat
// Sheet: 2 passes over 19 MiB in 1 lane. It is for servers on which many people
// log in and the defaults cost too much: a fifth of the time, a third of the memory.
// Whoever has the store guesses as much faster.
func LightPasswordParams() PasswordParams {
	return PasswordParams{Time: 2, Memory: 19 << 10, Threads: 1}
}

const (
	minPasswordMemory = 7168                  // KiB
	minPasswordWork   = 5 * minPasswordMemory // KiB times passes
	maxPasswordTime   = 64
	maxPasswordMemory = 1 << 20 // KiB
	maxPasswordLanes  = 16
)

func (p PasswordParams) orDefault() PasswordParams {
	if p == (PasswordParams{}) {
		return DefaultPasswordParams()
	}
	return p
}

func (p PasswordParams) check() error {
	switch {
	case p.Time < 1 || p.Time > maxPasswordTime:
		return fmt.Errorf("argon2id with %d passes, want 1 to %d", p.Time, maxPasswordTime)
	case p.Memory < minPasswordMemory || p.Memory > maxPasswordMemory:
		return fmt.Errorf("argon2id with %d KiB, want %d to %d", p.Memory, minPasswordMemory, maxPasswordMemory)
	case uint64(p.Time)*uint64(p.Memory) < minPasswordWork:
		return fmt.Errorf("argon2id with %d passes over %d KiB, want %d KiB in all", p.Time, p.Memory, minPasswordWork)
	case p.Threads < 1 || p.Threads > maxPasswordLanes:
		return fmt.Errorf("argon2id with %d lanes, want 1 to %d", p.Threads, maxPasswordLanes)
	}
	return nil
}

// compare orders parameters by what a derivation costs, the cheapest first.
func (p PasswordParams) compare(q PasswordParams) int {
	return cmp.Or(
		cmp.Compare(uint64(p.Time)*uint64(p.Memory), uint64(q.Time)*uint64(q.Memory)),
		cmp.Compare(p.Memory, q.Memory), cmp.Compare(p.Threads, q.Threads),
	)
}

// memory returns the bytes that a derivation needs.
func (p PasswordParams) memory() int64 { return int64(p.Memory) << 10 }
