package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSaveMemory(t *testing.T) {
	was := debug.SetGCPercent(90)
	t.Cleanup(func() { debug.SetGCPercent(was) })
	t.Setenv("GOGC", "90")
	saveMemory()
	require.Equal(t, 90, debug.SetGCPercent(90), "the environment decides")
	t.Setenv("GOGC", "")
	saveMemory()
	require.Equal(t, garbagePercent, debug.SetGCPercent(was))
}
