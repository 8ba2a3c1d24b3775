package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

const (
	tries      = 5                      // how often something is timed
	slowSync   = 50 * time.Millisecond  // of a disk
	slowAnswer = 250 * time.Millisecond // of a bucket
)

// store opens the store, and asks whether it can be read and written.
func (d *doctor) store(ctx context.Context, p *cli.Program) {
	s, err := d.flags.Open(ctx, p, access.Read, nil)
	if err != nil {
		advice := "is the path right, and its disk mounted? \"serve\" and \"account add\" make a new store"
		if d.flags.Bucket() {
			advice = "see docs/s3.md: credentials, permissions, region and what the server must keep"
		}
		d.problem("store", advice, "%v", err)
		return
	}
	defer s.Close()
	var times []time.Duration
	for range tries {
		begin := time.Now()
		if err := s.Ping(ctx); err != nil {
			d.problem("store", "restore it from a backup, or mount its disk", "it cannot be read: %v", err)
			return
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	switch median := times[tries/2]; {
	case d.flags.Bucket() && median > slowAnswer:
		d.warn("bucket", "move the server near the bucket, and give it a -cache", "it answers in %v: mail is slow to open", median.Round(time.Millisecond))
	case d.flags.Bucket():
		d.ok("bucket", "it answers in %v, and keeps the conditions that writers rely on", median.Round(time.Millisecond))
	}
	n := 0
	for _, err := range s.Accounts(ctx) {
		if errors.Is(err, mailbox.ErrServerKey) {
			break // the server key has a line of its own
		}
		if err != nil {
			d.problem("store", `run "mailserver check"`, "the accounts cannot be listed: %v", err)
			return
		}
		n++
	}
	d.ok("store", "%s opens; %d accounts are listed", d.flags.Where(), n)
	if err := s.Writable(); err != nil {
		d.problem("store", "mail is read, and none is taken, until it can be written", "%v", err)
	}
}

// serverKey looks at the file beside the store.
func (d *doctor) serverKey() {
	file := d.flags.ServerKeyFile()
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.warn("server key", "put it back from a copy, or name it by -server-key (\"mailserver key -h\" tells what to do if it is lost)",
			"%s is not there: no password opens an account, and no mail is taken", file)
	case err != nil:
		d.problem("server key", "let the server's user read it", "%v", err)
	default:
		d.private("server key", file, info)
	}
}

// private says whether a file with a secret is for its owner's eyes alone.
func (d *doctor) private(subject, file string, info fs.FileInfo) {
	if mode := info.Mode().Perm(); mode&0o077 != 0 && hasModes {
		d.problem(subject, "chmod 600 "+file, "others on this machine can read %s (mode %04o)", file, mode)
		return
	}
	d.ok(subject, "%s", file)
}

// folder looks at the owner and mode of the store's folder.
func (d *doctor) folder() {
	info, err := os.Stat(d.flags.Where())
	if err != nil || !hasModes {
		return // the store has said so
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o007 != 0:
		d.warn("permissions", "chmod 700 "+d.flags.Where(), "others on this machine can enter the folder (mode %04o): they see how much mail there is, and not what", mode)
	default:
		d.ok("permissions", "the folder has mode %04o", mode)
	}
	if os.Geteuid() == 0 {
		d.warn("user", "run \"serve\" as a user of its own; docs/operations.md has a unit for systemd", "this is root")
	}
}
