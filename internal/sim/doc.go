// Package sim proves that no mail is lost. It has no code but tests: one
// simulator that runs several processes' worth of letterlock over a store that
// misbehaves in every way that package blob permits, and looks afterwards whether
// each promise was kept.
//
//	go test ./internal/sim                                  # 60 runs
//	go test ./internal/sim -run TestSeeds -seeds 5000       # more of them
//	go test ./internal/sim -run TestSeed$ -seed 4711 -v     # one again, with its story
//
// # How a run goes
//
// A run is a function of its seed. The processes (mailbox.Stores on one
// memblob) and their clients are goroutines in a bubble of testing/synctest, so
// that time is virtual. Every call of the store, and every operation of a client,
// first waits for its turn. When all goroutines wait for something, the scheduler
// sorts what waits by who wants what, and the seed says which one goes on, or
// that time passes, or that a disaster happens: a process dies with its calls
// under way, stands still, or the machine is suspended for a day.
//
// What a call meets is the seed's decision too: it works; fails before or after it
// took effect; takes effect long after it failed; its answer stays away while
// others go on; a listing shows or leaves out what changed meanwhile; a reader
// breaks in the middle.
//
// In some runs the account's identity is changed meanwhile. What its owner knows of
// that, and so what must open the account and what must not, is in a notebook that
// all clients share.
//
// # How far a run can be repeated
//
// The order of all turns, faults and disasters follows from the seed, as long as
// each goroutine asks for its next turn by itself. What Go's runtime decides
// between two turns is not under control: which of two goroutines that were woken
// by the same event takes a lock first. TestReplay runs seeds twice and prints
// how many told the same story to the letter.
package sim
