package cli

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/crypto"
)

// Exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1 // the command did not do what it was asked
	ExitUsage  = 2 // it was not asked for anything that it could do
)

// Program is what a command may talk to.
type Program struct {
	commands []Command // in the order of the overview
	In       io.Reader
	lines    *bufio.Reader // of in
	Out, Err io.Writer

	PasswordCost crypto.PasswordParams // of passwords; the zero value but in tests
}

func New(commands []Command, in io.Reader, out, err io.Writer) *Program {
	return &Program{commands: commands, In: in, lines: bufio.NewReaderSize(in, MaxLine), Out: out, Err: err}
}

// UsageError is a command line that asks for nothing that can be done.
type UsageError struct{ text string }

func (e UsageError) Error() string { return e.text }

func Usagef(format string, args ...any) error {
	return UsageError{fmt.Sprintf(format, args...)}
}

// Run does what the command line asks for and returns the exit code.
func (p *Program) Run(ctx context.Context, args []string) int {
	c, rest := Find(p.commands, args)
	if c == nil {
		return p.noCommand(args)
	}
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	action := c.Setup(fs)
	names, err := Parse(fs, rest)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(p.Out, fs)
		return ExitOK
	case err != nil:
		err = UsageError{err.Error()}
	default:
		if err = c.count(names); err == nil {
			err = action(ctx, p, names)
		}
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	return p.report(c.Name, err)
}

// report says in one line on standard error what went wrong.
func (p *Program) report(command string, err error) int {
	var usage UsageError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		fmt.Fprintf(p.Err, "mailserver %s: %s (see mailserver %s -h)\n", command, usage.text, command)
		return ExitUsage
	}
	fmt.Fprintf(p.Err, "mailserver %s: %s\n", command, strings.ReplaceAll(err.Error(), "\n", "; "))
	return ExitFailed
}

// noCommand answers a command line that names none.
func (p *Program) noCommand(args []string) int {
	asked := func(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help", "help"}, arg) }
	if slices.ContainsFunc(args, asked) { // also of "account -h"
		p.overview(p.Out)
		return ExitOK
	}
	switch {
	case len(args) == 0:
		fmt.Fprintln(p.Err, "mailserver: no command (see mailserver -h)")
	case strings.HasPrefix(args[0], "-"):
		fmt.Fprintln(p.Err, "mailserver: the command comes first (see mailserver -h)")
	case len(p.longer(args)) > 0:
		fmt.Fprintf(p.Err, "mailserver: incomplete command %q; did you mean %q? (mailserver -h lists all)\n", strings.Join(args, " "), p.longer(args))
	default:
		fmt.Fprintf(p.Err, "mailserver: unknown command %q (see mailserver -h)\n", p.unknown(args))
	}
	return ExitUsage
}

// Parse parses flags that stand before, between and after the other arguments,
// and returns those. After "--" nothing is a flag.
func Parse(fs *flag.FlagSet, args []string) ([]string, error) {
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
