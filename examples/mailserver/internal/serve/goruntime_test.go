package serve

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGarbagePercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 60, 1 << 20: 60, 5 << 20: 60, 6 << 20: 50, 8 << 20: 37, 9 << 20: 35, 1 << 40: 35,
	} {
		require.Equal(t, want, garbagePercent(live), "%d bytes in use", live)
	}
}

// TestTuneRuntime runs tuneRuntime in a process of its own: it is for ever.
func TestTuneRuntime(t *testing.T) {
	if os.Getenv("TUNE_RUNTIME") != "" {
		tuneRuntimeHere(t)
		return
	}
	for _, env := range []string{"GOGC=", "GOGC=90"} {
		c := exec.Command(os.Args[0], "-test.run=^TestTuneRuntime$")
		c.Env = append(os.Environ(), "TUNE_RUNTIME=1", env, "GOMAXPROCS=")
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s: %s", env, out)
	}
}

func tuneRuntimeHere(t *testing.T) {
	usual := runtime.GOMAXPROCS(0)
	tuneRuntime()
	want := usual + min(usual, moreProcessors)
	require.Equal(t, want, runtime.GOMAXPROCS(0))
	tuneRuntime()
	require.Equal(t, want, runtime.GOMAXPROCS(0), "once is enough")
	percent := func() int {
		p := debug.SetGCPercent(50)
		debug.SetGCPercent(p)
		return p
	}
	if env := os.Getenv("GOGC"); env != "" {
		require.Equal(t, env, "90")
		require.Equal(t, 90, percent(), "the environment decides")
		return
	}
	require.Equal(t, mostGarbage, percent(), "of a small heap")
	held := make([][]byte, 40)
	for i := range held {
		held[i] = make([]byte, 1<<20)
	}
	require.Eventually(t, func() bool {
		runtime.GC()
		return percent() == leastGarbage
	}, 10*time.Second, 10*time.Millisecond, "of a large one")
	runtime.KeepAlive(held)
	held = nil
	require.Eventually(t, func() bool {
		runtime.GC()
		return percent() == mostGarbage
	}, 10*time.Second, 10*time.Millisecond, "of a small one again")
}
