package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much garbage the collector lets pile up, in per cent of
// what is in use. Go's default of 100 leaves as much memory unused as a server of
// idle sessions uses. Most of what this program does is waiting, reading and
// decrypting, so that collecting more often costs it little.
const garbagePercent = 40

// saveMemory sets what Go's runtime may waste, unless the environment does.
func saveMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
