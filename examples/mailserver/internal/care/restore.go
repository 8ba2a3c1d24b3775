package care

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox/backup"
)

func restoreCommand() cli.Command {
	return cli.Command{
		Name: "restore", About: "make a store of a backup",
		Text: `Copies a backup, a folder or bucket that -from names, to the empty place that
-store names, to be served in place of a store that is lost. It needs no password
and no key. What is interrupted goes on when it is run again, and is no store
before it is whole.

What was done after the backup is lost, but mail programs remember it: message
numbers (UIDs) that the restored store is going to give to other messages. So that
none is taken for another, the first login to each account gives all its folders a
new UIDVALIDITY, at which mail programs forget what they know and download again.
Messages, flags, folders, passwords and tokens are those of the backup.

-nothing-lost says that the store was not written to after the backup, such as when
it is moved: then mail programs notice nothing. If that is not so, they may show
one message in the place of another.

No server may run on the store that is replaced, nor write to the backup. With
-json, one object: accounts, copied, bytes, deleted, unreadable.`,
		Examples: []string{
			"mailserver restore -from /mnt/disk/mail -store ./mail",
			"mailserver restore -from s3://bucket/mail -store ./mail -nothing-lost",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f restoreFlags
			fs.StringVar((*string)(&f.from), "from", "", "the `folder` of the backup, or s3://BUCKET/PREFIX; must be given")
			fs.StringVar((*string)(&f.to), "store", "", "the `folder` of the store to make, or s3://BUCKET/PREFIX; must be given")
			fs.BoolVar(&f.nothingLost, "nothing-lost", false, "the backup has everything that mail programs saw")
			fs.BoolVar(&f.asJSON, "json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, _ []string) error {
				if f.from == "" || f.to == "" {
					return cli.Usagef("-from and -store must be given")
				}
				return f.run(ctx, p)
			}
		},
	}
}

type restoreFlags struct {
	pair
	nothingLost, asJSON bool
}

func (f *restoreFlags) run(ctx context.Context, p *cli.Program) error {
	var out copied
	err := f.with(ctx, func(from, to blob.Store) error {
		// A store that is served must not be taken for one that was lost.
		if _, err := to.Stat(ctx, access.FormatObject); err == nil {
			return fmt.Errorf("there is a store in %s already", f.to)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		report, err := backup.Copy(ctx, from, to, backup.Options{Restored: !f.nothingLost})
		out = copied{Accounts: report.Accounts, Copied: report.Copied, Bytes: report.Bytes, Deleted: report.Deleted, Unreadable: report.Unreadable}
		return err
	})
	if err != nil {
		return err
	}
	return out.print(p, f.asJSON, "restored")
}
