package care

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

func keyCommands() []cli.Command {
	return []cli.Command{
		{
			Name: "key adopt", About: "give a store a server key",
			Text: `Makes the key in -server-key, which it creates if it is missing, a key of a store that
has accounts: a store that had none, or whose key was lost. The names and delivery
keys that the store has now are taken for right, so look at the store first. An
account whose key was lost gets no mail until somebody logs in to it, which takes an
app token or the recovery identity; then set its password anew ("account password").
It may be interrupted, and run again.`,
			Examples: []string{"mailserver key adopt -store ./mail"},
			Setup: func(fs *flag.FlagSet) cli.Action {
				var f access.Flags
				f.Add(fs)
				return func(ctx context.Context, p *cli.Program, _ []string) error {
					rep, err := f.Adopt(ctx, p)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintf(p.Out, "vouched for %d names; %d wait for a login\n", rep.Accounts, rep.Waiting)
					return err
				}
			},
		},
		{
			Name: "key rekey", About: "seal with the server key what another one sealed",
			Text: `A server key is replaced in this order:

1. All servers get both: -server-key OLD -other-server-key NEW.
2. "key adopt -server-key NEW -other-server-key OLD".
3. All servers get both: -server-key NEW -other-server-key OLD.
4. "key rekey" with the same flags as in 3.
5. Passwords follow as people log in. When "key status" says that nothing is left,
   the servers are started without -other-server-key.`,
			Examples: []string{"mailserver key rekey -store ./mail -server-key new.key -other-server-key mail.serverkey"},
			Setup: func(fs *flag.FlagSet) cli.Action {
				var f access.Flags
				f.Add(fs)
				return func(ctx context.Context, p *cli.Program, _ []string) error { return keyStatus(ctx, p, &f, true) }
			},
		},
		{
			Name: "key deliverer", About: "print the key for a process that only delivers",
			Text: `Prints a key for -delivery-key: a server that only delivers needs no other. Whoever has
it and can write the store can forge mail, but not test passwords. It is a secret.`,
			Examples: []string{"mailserver key deliverer -store ./mail > mail.deliverkey"},
			Setup: func(fs *flag.FlagSet) cli.Action {
				var f access.Flags
				f.Add(fs)
				return func(ctx context.Context, p *cli.Program, _ []string) error {
					s, err := f.Open(ctx, p, access.Read, nil)
					if err != nil {
						return err
					}
					key, err := s.DeliveryKey()
					if err = errors.Join(err, s.Close()); err != nil {
						return err
					}
					_, err = fmt.Fprintln(p.Out, key.Export())
					return err
				}
			},
		},
		{
			Name: "key status", About: "tell what needs another server key",
			Text:     `Counts what needs another server key than -server-key: see "key rekey -h".`,
			Examples: []string{"mailserver key status -store ./mail"},
			Setup: func(fs *flag.FlagSet) cli.Action {
				var f access.Flags
				f.Add(fs)
				return func(ctx context.Context, p *cli.Program, _ []string) error { return keyStatus(ctx, p, &f, false) }
			},
		},
	}
}

func keyStatus(ctx context.Context, p *cli.Program, f *access.Flags, write bool) error {
	s, err := f.Open(ctx, p, access.Change, nil)
	if err != nil {
		return err
	}
	look := s.KeyStatus
	if write {
		look = s.Rekey
	}
	st, err := look(ctx)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Out, "need another server key: %d entries of the directory, %d passwords, %d names\n", st.Entries, st.Slots, st.Names)
	return err
}
