package serve

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage the collector lets pile up, in per cent of what is in use. Go's
// default of 100 leaves as much memory unused as a server of thousands of idle
// sessions uses; most of what these do is waiting, so that collecting more often costs
// little. But a third of a small heap is next to nothing, and the collector would be
// at work all the time that a FETCH is.
const (
	leastGarbage = 35
	mostGarbage  = 60
	freely       = 3 << 20 // bytes of garbage that are always taken, up to mostGarbage
)

// garbagePercent returns what suits a heap with so many bytes in use.
func garbagePercent(live uint64) int {
	return int(min(max(freely*100/max(live, 1), leastGarbage), mostGarbage))
}

// tuneCollector sets the percentage now and after each collection.
func tuneCollector() {
	var now int
	tune := func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if p := garbagePercent(live[0].Value.Uint64()); p != now {
			now = p
			debug.SetGCPercent(p)
		}
	}
	tune()
	afterCollections(tune)
}

// afterCollections calls do after each collection: then what nothing refers to goes.
func afterCollections(do func()) {
	runtime.AddCleanup(&struct{ _ [64]byte }{}, func(do func()) {
		do()
		afterCollections(do)
	}, do)
}

// moreProcessors is how many threads more than there are CPUs may run Go code, at
// most. A thread that waits for the disk in a system call keeps its place until the
// runtime takes it away, some tens of microseconds later. Mail is synced several
// times; with as many places as CPUs these would idle meanwhile.
const moreProcessors = 8

// tuneRuntime sets what Go's runtime may use, unless the environment does.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		tuneCollector()
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS()
		n := runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(n + min(n, moreProcessors))
	}
}
