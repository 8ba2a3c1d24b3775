//go:build race

package server_test

// raceDetector says that memory is not worth weighing.
const raceDetector = true
