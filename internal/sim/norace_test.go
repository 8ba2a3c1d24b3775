//go:build !race

package sim

const (
	defaultSeeds = 60
	replaySeeds  = 12
)
