//go:build !linux

package diskblob

import (
	"errors"
	"os"
)

// volume is the file system that a folder is on; nothing is known of it.
type volume struct{}

func volumeOf(string) volume { return volume{} }

func (volume) same(string, fileID, fileID) bool { return false }

func room(string) int64 { return 0 }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }
