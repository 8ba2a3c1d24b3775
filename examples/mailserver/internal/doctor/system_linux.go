package doctor

import "syscall"

// hasModes says that files have owners and modes.
const hasModes = true

// Kinds of file systems, as statfs(2) has them.
var (
	networkKinds = map[int64]bool{0x6969: true, 0x517b: true, 0xff534d42: true, 0xfe534d42: true, 0x5346414f: true, 0x00c36400: true}
	memoryKinds  = map[int64]bool{0x01021994: true, 0x858458f6: true}
)

func volumeOf(dir string) (volume, bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return volume{}, false
	}
	size := uint64(st.Bsize)
	kind := int64(uint32(st.Type))
	return volume{
		total: st.Blocks * size, free: st.Bavail * size, files: st.Files, freeFiles: st.Ffree,
		network: networkKinds[kind], memory: memoryKinds[kind],
	}, true
}

// openFiles returns how many files a process may have open. Go raises the limit to
// what is allowed at most when it starts.
func openFiles() (uint64, bool) {
	var l syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return l.Cur, err == nil
}

// clockSynchronised reports whether something sets the clock: adjtimex(2).
func clockSynchronised() (synchronised, known bool) {
	const timeError = 5
	state, err := syscall.Adjtimex(&syscall.Timex{})
	return state != timeError, err == nil
}
