package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTree(t *testing.T) {
	const size = 64 << 20
	before, err := tree(os.Getpid())
	require.NoError(t, err)
	// A child that waits for its input to end.
	child := exec.Command("sh", "-c", "cat; exit 0")
	in, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	block := make([]byte, size)
	for i := 0; i < size; i += os.Getpagesize() {
		block[i] = 1
	}
	for begin := time.Now(); time.Since(begin) < 100*time.Millisecond; {
		_ = strings.Count(string(block[:1<<16]), "x")
	}
	after, err := tree(os.Getpid())
	require.NoError(t, err)
	assert.Greater(t, after.processes, before.processes)
	assert.Greater(t, after.memory-before.memory, int64(size/2))
	assert.GreaterOrEqual(t, after.cpu-before.cpu, 0.05)
	assert.EqualValues(t, 1, block[0])
	require.NoError(t, in.Close())
	require.NoError(t, child.Wait())

	_, err = tree(child.Process.Pid)
	require.Error(t, err, "it is gone")
	m, err := proportional(os.Getpid())
	require.NoError(t, err)
	assert.Greater(t, m, int64(size/2))
}

func TestSampler(t *testing.T) {
	s := startSampler(os.Getpid)
	first := s.sample()
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.samples) >= 4 }, 10*time.Second, interval)
	assert.GreaterOrEqual(t, s.peak(first), first.Memory)
	samples := s.stop()
	for i := 1; i < len(samples); i++ {
		assert.GreaterOrEqual(t, samples[i].At, samples[i-1].At)
		assert.GreaterOrEqual(t, samples[i].CPU, samples[i-1].CPU)
	}
}

func TestThin(t *testing.T) {
	samples := make([]Sample, 1000)
	for i := range samples {
		samples[i] = Sample{At: float64(i), Memory: 5}
	}
	samples[777].Memory = 50
	kept := thin(samples, 100)
	assert.LessOrEqual(t, len(kept), 102)
	assert.Equal(t, samples[0], kept[0])
	assert.Equal(t, samples[999], kept[len(kept)-1])
	assert.Contains(t, kept, samples[777], "the peak")
	assert.Equal(t, samples[:7], thin(samples[:7], 100))
}
