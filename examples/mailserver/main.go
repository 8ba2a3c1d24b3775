// Mailserver is a small mail server for encrypted mailboxes: IMAP for readers,
// LMTP for the mail server in front of it, and a folder that holds nothing
// anybody could read.
//
// It is the example of how letterlock's packages fit together, and complete
// enough to be used: accounts and app tokens, TLS, a check of everything that
// is stored. One source file has one subject; begin with serve.go, which is all
// it takes to embed the library, and store.go, which opens what serve serves.
//
//	mailserver serve -demo -store ./mail
//	mailserver -h
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/letterlock/letterlock/crypto"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command did not do what it was asked
	exitUsage  = 2 // it was not asked for anything that it could do
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(newProgram(os.Stdin, os.Stdout, os.Stderr).run(ctx, os.Args[1:]))
}

// program is what a command may talk to.
type program struct {
	in       io.Reader
	lines    *bufio.Reader // of in
	out, err io.Writer

	cost crypto.PasswordParams // of passwords; the zero value but in tests
}

func newProgram(in io.Reader, out, err io.Writer) *program {
	return &program{in: in, lines: bufio.NewReaderSize(in, maxLine), out: out, err: err}
}

// usageError is a command line that asks for nothing that can be done.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

// run does what the command line asks for and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	c, rest := find(args)
	if c == nil {
		return p.noCommand(args)
	}
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	action := c.setup(fs)
	names, err := parse(fs, rest)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(p.out, fs)
		return exitOK
	case err != nil:
		err = usageError{err.Error()}
	default:
		if err = c.count(names); err == nil {
			err = action(ctx, p, names)
		}
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	return p.report(c.name, err)
}

// report says in one line on standard error what went wrong.
func (p *program) report(command string, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(p.err, "mailserver %s: %s (mailserver %s -h tells more)\n", command, usage.text, command)
		return exitUsage
	}
	fmt.Fprintf(p.err, "mailserver %s: %s\n", command, strings.ReplaceAll(err.Error(), "\n", "; "))
	return exitFailed
}

// noCommand answers a command line that names none.
func (p *program) noCommand(args []string) int {
	asked := func(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help", "help"}, arg) }
	if slices.ContainsFunc(args, asked) { // also of "account -h"
		overview(p.out)
		return exitOK
	}
	switch {
	case len(args) == 0:
		fmt.Fprintln(p.err, "mailserver: no command (mailserver -h lists them)")
	case strings.HasPrefix(args[0], "-"):
		fmt.Fprintln(p.err, "mailserver: the command comes first (mailserver -h lists them)")
	case len(longer(args)) > 0:
		fmt.Fprintf(p.err, "mailserver: %q is not whole: %s (mailserver -h tells more)\n", strings.Join(args, " "), strings.Join(longer(args), ", "))
	default:
		fmt.Fprintf(p.err, "mailserver: unknown command %q (mailserver -h lists them)\n", unknown(args))
	}
	return exitUsage
}

// parse parses flags that stand before, between and after the other arguments,
// and returns those. After "--" nothing is a flag.
func parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var others []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		used := len(args) - fs.NArg()
		if fs.NArg() == 0 || used > 0 && args[used-1] == "--" {
			return append(others, fs.Args()...), nil
		}
		others = append(others, fs.Arg(0))
		args = fs.Args()[1:]
	}
}
