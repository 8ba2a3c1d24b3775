package main

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTuneRuntime(t *testing.T) {
	was, procs := debug.SetGCPercent(90), runtime.GOMAXPROCS(3)
	t.Cleanup(func() {
		debug.SetGCPercent(was)
		runtime.GOMAXPROCS(procs)
	})
	t.Setenv("GOGC", "90")
	t.Setenv("GOMAXPROCS", "3")
	tuneRuntime()
	require.Equal(t, 90, debug.SetGCPercent(90), "the environment decides")
	require.Equal(t, 3, runtime.GOMAXPROCS(0), "the environment decides")
	t.Setenv("GOGC", "")
	t.Setenv("GOMAXPROCS", "")
	tuneRuntime()
	require.Equal(t, garbagePercent, debug.SetGCPercent(90))
	n := runtime.GOMAXPROCS(0)
	tuneRuntime()
	require.Equal(t, n, runtime.GOMAXPROCS(0), "once is enough")
	runtime.SetDefaultGOMAXPROCS()
	usual := runtime.GOMAXPROCS(0)
	require.Equal(t, usual+min(usual, moreProcessors), n)
}
