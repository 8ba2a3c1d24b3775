//go:build linux || openbsd || dragonfly

package diskblob

import (
	"io/fs"
	"syscall"
	"time"
)

// changedAt returns when a file was last given a name, or lost one.
func changedAt(fi fs.FileInfo) (time.Time, bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(st.Ctim.Unix()), true
}
