//go:build !race

package lmtpadapter

// raced says that the race detector is on, which makes bulk crypto slow.
const raced = false
