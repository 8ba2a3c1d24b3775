package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// garbagePercent is how much garbage the collector lets pile up, in per cent of
// what is in use. Go's default of 100 leaves as much memory unused as a server of
// idle sessions uses. Most of what this program does is waiting, reading and
// decrypting, so that collecting more often costs it little.
const garbagePercent = 35

// moreProcessors is how many threads more than there are CPUs may run Go code, at
// most. A thread that waits for the disk in a system call keeps its place until the
// runtime takes it away, some tens of microseconds later. Mail is synced several
// times; with as many places as CPUs these would idle meanwhile.
const moreProcessors = 8

// tuneRuntime sets what Go's runtime may use, unless the environment does.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS()
		n := runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(n + min(n, moreProcessors))
	}
}
