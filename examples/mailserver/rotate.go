package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/letterlock/letterlock/mailbox"
)

func accountRotateCommand() command {
	return command{
		name: "account rotate", args: []string{"NAME"}, about: "give an account a new identity",
		text: `Gives the account a new identity and prints it, as "account recovery" does. It is
what to do when the old one, or a password or token together with a copy of the
store, may have come to others: they can go on reading what they could read until
now, and nothing that comes.

The old password and a new one, which may be the same, are asked for at the
terminal, or read from the first two lines of standard input if that is no
terminal. With -recovery-file the old password is not asked for. All tokens are
revoked: make new ones. All sessions end and must log in again. Messages are not
encrypted again: they stay readable, with the age tool by the identity of their
time ("account recovery -all").

If it is interrupted, log in once with the new password: that completes it.`,
		examples: []string{"mailserver account rotate ann -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			return func(ctx context.Context, p *program, names []string) error {
				return f.with(ctx, p, names[0], func(a *mailbox.Account) error {
					password, err := p.newPassword(ctx, "New password")
					if err != nil {
						return err
					}
					identity, err := a.RotateIdentity(ctx, password)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintln(p.out, identity)
					return err
				})
			}
		},
	}
}
