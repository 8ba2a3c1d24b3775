//go:build race

package sim

// The race detector makes each seed ten times as long.
const (
	defaultSeeds = 10
	replaySeeds  = 2
)
