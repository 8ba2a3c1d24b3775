//go:build !race

package e2e

// raceFlag builds the server as the tests are built.
const raceFlag = "-race=false"
