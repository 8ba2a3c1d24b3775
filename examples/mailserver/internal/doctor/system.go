package doctor

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/letterlock/letterlock/blob/s3blob/s3url"
	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
)

const (
	leastFree  = 1 << 30 // bytes
	leastShare = 5       // per cent of bytes, and of files
	leastFiles = 4096    // open at once

	skewWarns = 2 * time.Second
	skewFails = 5 * time.Minute // S3 refuses requests that are 15 minutes off
)

// volume is a file system, as far as the system says.
type volume struct {
	total, free      uint64 // bytes
	files, freeFiles uint64 // 0 if it has no limit
	network, memory  bool
}

// disk looks at the file system of the store's folder.
func (d *doctor) disk() {
	dir := d.flags.Where()
	if v, ok := volumeOf(dir); ok && v.total > 0 {
		d.volume(v)
	}
	took, _, err := d.probe(dir)
	switch {
	case err != nil:
		// The store has said that it cannot be written.
	case took > slowSync:
		d.warn("disk", "each mail waits for it: use a faster disk, or see what else writes to this one", "a write takes %v to be on the disk", took.Round(time.Millisecond))
	default:
		d.ok("disk", "a write takes %v to be on the disk", took.Round(10*time.Microsecond))
	}
}

func (d *doctor) volume(v volume) {
	share := 100 * v.free / v.total
	const full = "at 0 no mail is taken; docs/operations.md says what frees space"
	switch {
	case share < leastShare && v.free < leastFree:
		d.problem("disk", full, "%d MiB are free, %d %%", v.free>>20, share)
	case share < leastShare || v.free < leastFree:
		d.warn("disk", full, "%d MiB are free, %d %%", v.free>>20, share)
	default:
		d.ok("disk", "%d MiB are free, %d %%", v.free>>20, share)
	}
	if v.files > 0 && 100*v.freeFiles/v.files < leastShare {
		d.warn("disk", "each mail is a file: make the file system anew with more inodes", "%d files can still be made, of %d", v.freeFiles, v.files)
	}
	if v.network {
		d.problem("disk", "use a local disk, or a bucket", "the folder is on a network file system, where writers are not kept apart")
	}
	if v.memory {
		d.warn("disk", "use a disk", "the folder is in memory: all mail is lost when the machine stops")
	}
}

// probe writes a file some times and returns how long that took to be on the disk, and
// what time the file system says it is.
func (d *doctor) probe(dir string) (took time.Duration, at time.Time, err error) {
	f, err := os.CreateTemp(dir, ".probe-*") // objects' names never begin with a dot
	if err != nil {
		return 0, at, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var times []time.Duration
	for range tries {
		begin := time.Now()
		if _, err = f.Write(make([]byte, 4096)); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return 0, at, err
		}
		times = append(times, time.Since(begin))
	}
	info, err := f.Stat()
	if err != nil {
		return 0, at, err
	}
	slices.Sort(times)
	return times[tries/2], info.ModTime(), nil
}

// folderClock compares the clock with that of the file system, and with the store.
func (d *doctor) folderClock() {
	dir := d.flags.Where()
	now := d.now()
	if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(access.FormatObject))); err == nil && info.ModTime().Sub(now) > skewFails {
		d.problem("clock", "set the clock: timedatectl set-ntp true", "it is %s here, and the store was made later, at %s", stamp(now), stamp(info.ModTime()))
		return
	}
	_, at, err := d.probe(dir)
	if err == nil {
		d.skew("the file system", at.Sub(now))
	}
}

// bucketClock compares the clock with that of the bucket's server.
func (d *doctor) bucketClock(ctx context.Context) {
	l, err := s3url.Parse(d.flags.Where())
	if err != nil {
		return
	}
	url := l.Endpoint
	if url == "" {
		url = "https://s3.amazonaws.com"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.warn("clock", "the bucket's line says more", "the server of the bucket does not say what time it is")
		return
	}
	resp.Body.Close()
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err == nil {
		d.skew("the bucket", at.Sub(d.now()))
	}
}

// skew judges a difference of clocks.
func (d *doctor) skew(of string, by time.Duration) {
	const advice = "set the clock: timedatectl set-ntp true"
	off := by.Abs()
	switch synchronised, known := clockSynchronised(); {
	case off > skewFails:
		d.problem("clock", advice, "it differs from that of %s by %v", of, by.Round(time.Second))
	case off > skewWarns:
		d.warn("clock", advice, "it differs from that of %s by %v", of, by.Round(time.Second))
	case known && !synchronised:
		d.warn("clock", advice, "it is %s, and the system says that nothing sets it", stamp(d.now()))
	default:
		d.ok("clock", "it is %s, as for %s", stamp(d.now()), of)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// openFiles looks at the limit of open files.
func (d *doctor) openFiles() {
	n, ok := openFiles()
	switch {
	case !ok:
	case n < leastFiles:
		d.warn("open files", "raise LimitNOFILE, or ulimit -n, to 65536: each connection is one", "%d may be open at once", n)
	default:
		d.ok("open files", "%d may be open at once", n)
	}
}
