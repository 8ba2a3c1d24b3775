package main

import (
	"context"
	"errors"
	"flag"
)

func accountRenameCommand() command {
	return command{
		name: "account rename", args: []string{"NAME", "NEW"}, about: "give an account another name",
		text: `Gives the account NAME the name NEW. It needs no password, and mails, folders,
passwords and tokens stay. Open sessions go on; new logins and mail need the new
name at once.

The new name is made before the old one goes: what is interrupted in between leaves
an account with both names, and the same command again takes the old one away.

` + nameHelp + `

` + nameKeyHelp,
		examples: []string{"mailserver account rename ann ann@example.org -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f storeFlags
			f.add(fs)
			return func(ctx context.Context, p *program, names []string) error {
				return renameAccount(ctx, p, &f, names[0], names[1])
			}
		},
	}
}

func renameAccount(ctx context.Context, p *program, f *storeFlags, from, to string) error {
	if err := checkAccountName(to); err != nil {
		return err
	}
	s, err := f.open(ctx, p, mustExist, nil)
	if err != nil {
		return err
	}
	if err := s.RenameAccount(ctx, from, to); err != nil {
		return errors.Join(named(from, err), s.Close())
	}
	return s.Close()
}
