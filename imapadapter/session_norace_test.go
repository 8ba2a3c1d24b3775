//go:build !race

package imapadapter_test

// raceDetector says that memory is not worth weighing.
const raceDetector = false
