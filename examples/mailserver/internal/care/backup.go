package care

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/backup"
)

// pair is where objects are copied from and to.
type pair struct{ from, to access.Place }

// apart refuses to copy a folder into itself.
func (p pair) apart() error {
	if p.from.Bucket() || p.to.Bucket() {
		if p.from == p.to {
			return cli.Usagef("the two places are one")
		}
		return nil
	}
	a, errA := filepath.Abs(string(p.from))
	b, errB := filepath.Abs(string(p.to))
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	for _, dirs := range [][2]string{{a, b}, {b, a}} {
		if rel, err := filepath.Rel(dirs[0], dirs[1]); err == nil && filepath.IsLocal(rel) {
			return cli.Usagef("one place must not be in the other")
		}
	}
	return nil
}

// with opens both places, does something, and closes them.
func (p pair) with(ctx context.Context, do func(from, to blob.Store) error) (err error) {
	if err := p.apart(); err != nil {
		return err
	}
	from, closeFrom, err := p.from.Open(ctx, access.Read)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFrom()) }()
	to, closeTo, err := p.to.Open(ctx, access.MayCreate)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeTo()) }()
	return do(from, to)
}

func backupCommand() cli.Command {
	return cli.Command{
		Name: "backup", About: "copy a store, or what is new in it, to another place",
		Text: `Copies the store into the folder or bucket that -to names, while it is served. The
first time all is copied, later what is new. It needs no password and no key. What
was acknowledged before the command began is in the copy when it ends with status 0;
each account of the copy is the state of one moment. If it is interrupted, the copy
is whole as far as it goes, and the next run goes on.

The copy is a store: "check" checks it, and "restore" makes one of it that can be
served. To move a store from a folder to a bucket or back, stop the server, run
backup, and serve the copy.

Old entries, revoked tokens, old passwords and old names go in the copy as they went
in the store. Garbage that was collected in the store, and accounts that were
removed, stay in the copy until -prune.

With -verify everything that is in both is then compared to the last byte, and the
copy checked as by "check". A store that lost what the copy has is refused, and so
is a copy of another store. A file that cannot be read is named, the exit status
is 1, and the rest is copied.

The key of the account names, the demo's password and TLS keys are not in a store:
keep copies of these files elsewhere.

With -json, one object: accounts, copied, bytes, deleted, unreadable, and with -verify
compared and problems.`,
		Examples: []string{
			"mailserver backup -store ./mail -to /mnt/disk/mail -verify",
			"mailserver backup -store ./mail -to 's3://bucket/mail?region=eu-north-1'",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f backupFlags
			fs.StringVar((*string)(&f.from), "store", "", "the `folder` of the store, or s3://BUCKET/PREFIX; must be given")
			fs.StringVar((*string)(&f.to), "to", "", "the `folder` of the copy, or s3://BUCKET/PREFIX; must be given")
			fs.BoolVar(&f.verify, "verify", false, "compare all that was copied, and check the copy")
			fs.BoolVar(&f.prune, "prune", false, "delete in the copy what the store does not have any more")
			fs.BoolVar(&f.asJSON, "json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, _ []string) error {
				if f.from == "" || f.to == "" {
					return cli.Usagef("-store and -to must be given")
				}
				return f.run(ctx, p)
			}
		},
	}
}

type backupFlags struct {
	pair
	verify, prune, asJSON bool
}

// copied is what a backup did, as it is printed.
type copied struct {
	Accounts   int       `json:"accounts"`
	Copied     int       `json:"copied"`
	Bytes      int64     `json:"bytes"`
	Deleted    int       `json:"deleted"`
	Unreadable int       `json:"unreadable"`
	Compared   *int      `json:"compared,omitempty"`
	Problems   []finding `json:"problems,omitempty"`
}

func (f *backupFlags) run(ctx context.Context, p *cli.Program) error {
	var out copied
	began := false
	err := f.with(ctx, func(from, to blob.Store) error {
		began = true
		report, err := backup.Copy(ctx, from, to, backup.Options{Prune: f.prune})
		out = copied{Accounts: report.Accounts, Copied: report.Copied, Bytes: report.Bytes, Deleted: report.Deleted, Unreadable: report.Unreadable}
		if err != nil || !f.verify {
			return err
		}
		return out.verify(ctx, from, to)
	})
	if !began {
		return err
	}
	return errors.Join(err, out.print(p, f.asJSON, "copied"))
}

// verify compares the copy with its source, and checks it without a key.
func (c *copied) verify(ctx context.Context, from, to blob.Store) error {
	seen, err := backup.Compare(ctx, from, to, func(object string, err error) {
		c.Problems = append(c.Problems, finding{Object: object, Error: object + ": " + err.Error()})
	})
	if err != nil {
		return err
	}
	c.Compared = &seen.Same
	s, err := mailbox.Open(ctx, to, mailbox.Options{PollInterval: -1, WithoutServerKey: true})
	if err != nil {
		return err
	}
	result := newResult()
	err = result.run(ctx, s, nil, nil)
	for _, f := range result.Problems {
		if !f.Harmless {
			c.Problems = append(c.Problems, f)
		}
	}
	if err == nil && len(c.Problems) > 0 {
		err = fmt.Errorf("problems found: %d", len(c.Problems))
	}
	return errors.Join(err, s.Close())
}

func (c *copied) print(p *cli.Program, asJSON bool, done string) error {
	if asJSON {
		return json.NewEncoder(p.Out).Encode(c)
	}
	for _, f := range c.Problems {
		if _, err := fmt.Fprintf(p.Out, "problem   %s\n", f.Error); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(p.Out, "%d accounts, %d objects %s, %d bytes, %d deleted\n", c.Accounts, c.Copied, done, c.Bytes, c.Deleted)
	if err == nil && c.Compared != nil {
		_, err = fmt.Fprintf(p.Out, "%d objects compared\n", *c.Compared)
	}
	return err
}
