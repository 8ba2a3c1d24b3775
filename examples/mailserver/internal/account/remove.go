package account

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

func accountRemoveCommand() cli.Command {
	return cli.Command{
		Name: "account remove", Args: []string{"NAME"}, About: "erase an account and all its mail",
		Text: `Erases the account: its name, keys, folders and every message. There is no way
back but a copy of the store. It asks for the account's name once more, at the
terminal or as the first line of standard input, or takes -yes for it. No password
is needed: whoever can write the store can erase it.

Sessions of the account end. Mail that is being delivered to it at this moment may
still be accepted and is erased by "gc" a day later, which "serve" does by itself.
The name can be used again at once.`,
		Examples: []string{"mailserver account remove ann -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.Flags
			f.Add(fs)
			yes := fs.Bool("yes", false, "do not ask")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return removeAccount(ctx, p, &f, names[0], *yes)
			}
		},
	}
}

func removeAccount(ctx context.Context, p *cli.Program, f *access.Flags, name string, yes bool) (err error) {
	s, err := f.Open(ctx, p, access.Change, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Lookup(ctx, name); err != nil {
		return access.Named(name, err)
	}
	if !yes {
		if err := p.Confirm(ctx, name); err != nil {
			return err
		}
	}
	if err := s.DeleteAccount(ctx, name); err != nil {
		return access.Named(name, err)
	}
	_, err = fmt.Fprintf(p.Out, "account %s is erased\n", name)
	return err
}
