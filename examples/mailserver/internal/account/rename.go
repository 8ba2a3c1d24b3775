package account

import (
	"context"
	"errors"
	"flag"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

func accountRenameCommand() cli.Command {
	return cli.Command{
		Name: "account rename", Args: []string{"NAME", "NEW"}, About: "give an account another name",
		Text: `Gives the account NAME the name NEW. It needs no password, and mails, folders,
passwords and tokens stay. Open sessions go on; new logins and mail need the new
name at once.

The new name is made before the old one goes: what is interrupted in between leaves
an account with both names, and the same command again takes the old one away.

` + access.NameHelp + `

` + access.ServerKeyHelp,
		Examples: []string{"mailserver account rename ann ann@example.org -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.Flags
			f.Add(fs)
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return renameAccount(ctx, p, &f, names[0], names[1])
			}
		},
	}
}

func renameAccount(ctx context.Context, p *cli.Program, f *access.Flags, from, to string) error {
	if err := checkAccountName(to); err != nil {
		return err
	}
	s, err := f.Open(ctx, p, access.Change, nil)
	if err != nil {
		return err
	}
	if err := s.RenameAccount(ctx, from, to); err != nil {
		return errors.Join(access.Named(from, err), s.Close())
	}
	return s.Close()
}
