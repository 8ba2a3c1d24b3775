// Package cli is the frame of the program: commands with flags and help, what a
// command reads and prints, exit codes, and completion for shells.
package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Action does what a command is for. names are the arguments that are no flags.
type Action func(ctx context.Context, p *Program, names []string) error

// Command is one of the things that the program can do.
type Command struct {
	Name  string   // one to three words
	Args  []string // the arguments that are no flags; the last may end in "...", or be in brackets
	About string   // one line
	Text  string   // the rest of the help, in paragraphs
	Setup func(*flag.FlagSet) Action

	Examples []string // command lines
}

// Find returns the command that args begin with, and the arguments after its
// name.
func Find(commands []Command, args []string) (*Command, []string) {
	for _, c := range commands {
		words := strings.Fields(c.Name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return &c, args[len(words):]
		}
	}
	return nil, nil
}

// unknown returns the words of a command line that were meant to be a command.
func (p *Program) unknown(args []string) string {
	n := 1
	for _, c := range p.commands {
		words := strings.Fields(c.Name)
		common := 0
		for common < min(len(words), len(args)) && words[common] == args[common] {
			common++
		}
		n = max(n, min(common+1, len(args)))
	}
	return strings.Join(args[:n], " ")
}

// longer returns the names of the commands that args are the beginning of.
func (p *Program) longer(args []string) []string {
	var names []string
	for _, c := range p.commands {
		words := strings.Fields(c.Name)
		if len(args) < len(words) && slices.Equal(args, words[:len(args)]) {
			names = append(names, c.Name)
		}
	}
	return names
}

// count reports whether there are as many arguments as the command takes.
func (c *Command) count(names []string) error {
	open := len(c.Args) > 0 && strings.HasSuffix(c.Args[len(c.Args)-1], "...")
	switch {
	case len(names) < len(c.Args) && !strings.HasPrefix(c.Args[len(names)], "["):
		return Usagef("%s is missing", strings.TrimSuffix(c.Args[len(names)], "..."))
	case len(names) > len(c.Args) && !open:
		return Usagef("unexpected argument %q", names[len(c.Args)])
	}
	return nil
}

// help writes the command's page.
func (c *Command) help(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintf(w, "NAME\n    mailserver %s - %s\n\nSYNOPSIS\n    mailserver %s", c.Name, c.About, c.Name)
	for _, a := range c.Args {
		fmt.Fprintf(w, " %s", a)
	}
	fmt.Fprintf(w, " [flags]\n\nDESCRIPTION\n")
	for i, paragraph := range strings.Split(strings.TrimSpace(c.Text), "\n\n") {
		if i > 0 {
			fmt.Fprintln(w)
		}
		wrap(w, paragraph)
	}
	fmt.Fprintf(w, "\nFLAGS\n    -help\n        describe the command\n")
	fs.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "    -%s", f.Name)
		if kind != "" {
			fmt.Fprintf(w, " %s", kind)
		}
		fmt.Fprintf(w, "\n        %s", strings.ReplaceAll(usage, "\n", "\n        "))
		if f.DefValue != "" && f.DefValue != "false" {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
	if len(c.Examples) > 0 {
		fmt.Fprintf(w, "\nEXAMPLES\n    %s\n", strings.Join(c.Examples, "\n    "))
	}
	fmt.Fprintf(w, "\nEXIT STATUS\n    0 done; 1 failed, and one line on standard error says why; 2 wrong usage.\n")
}

// wrap writes the words of a paragraph, indented, in lines of up to 80 columns.
func wrap(w io.Writer, paragraph string) {
	line := "   "
	for _, word := range strings.Fields(paragraph) {
		if len(line)+1+len(word) > 80 {
			fmt.Fprintln(w, line)
			line = "   "
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}

// overview writes the page of the whole program.
func (p *Program) overview(w io.Writer) {
	fmt.Fprint(w, `NAME
    mailserver - encrypted mailboxes over IMAP, filled over LMTP

SYNOPSIS
    mailserver COMMAND [arguments] [flags]

COMMANDS
`)
	for _, c := range p.commands {
		fmt.Fprintf(w, "    %-20s  %s\n", c.Name, c.About)
	}
	fmt.Fprint(w, `
DESCRIPTION
    A store is a folder, or a place in an S3 bucket, that -store names. It holds
    objects that are encrypted with the keys of the accounts, which only their
    passwords, tokens and recovery identities open: whoever has the store can
    read nothing in it.

    To try it:

        mailserver serve -demo -store ./mail

    A bucket is s3://BUCKET/PREFIX, with ?endpoint=URL for a server that is not
    Amazon's and &region=NAME. Its credentials are in the environment, as
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or where else Amazon's tools
    look for them.

    All commands may run at the same time on one store, any number of them: on
    one machine if it is a folder, on any number if it is a bucket. Flags may
    stand before or after other arguments. "mailserver COMMAND -h" describes a
    command.

EXIT STATUS
    0 done; 1 failed, and one line on standard error says why; 2 wrong usage.
`)
}
