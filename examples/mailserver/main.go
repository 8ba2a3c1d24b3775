// Mailserver is a small mail server for encrypted mailboxes: IMAP for readers,
// LMTP for the mail server in front of it, and a folder that holds nothing
// anybody could read.
//
// It is the example of how letterlock's packages fit together, and complete
// enough to be used: accounts and app tokens, TLS, a check of everything that
// is stored. Each folder below internal is one kind of work: serve has all that it
// takes to embed the library, access opens what serve serves.
//
//	mailserver serve -demo -store ./mail
//	mailserver -h
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/letterlock/letterlock/examples/mailserver/internal/account"
	"github.com/letterlock/letterlock/examples/mailserver/internal/care"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/deliver"
	"github.com/letterlock/letterlock/examples/mailserver/internal/doctor"
	"github.com/letterlock/letterlock/examples/mailserver/internal/move"
	"github.com/letterlock/letterlock/examples/mailserver/internal/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.New(commands(), os.Stdin, os.Stdout, os.Stderr).Run(ctx, os.Args[1:]))
}

// commands are all there are, in the order of the overview.
func commands() []cli.Command {
	return slices.Concat(
		[]cli.Command{serve.Command(), deliver.Command()},
		account.Commands(), move.Commands(), care.Commands(),
		[]cli.Command{doctor.Command(), cli.Completion()},
	)
}
