// Package move has the commands that move mail in, from files and IMAP servers, and
// out, into files.
package move

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/archive"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

// Commands returns the commands that move mail in and out.
func Commands() []cli.Command { return []cli.Command{importCommand(), exportCommand()} }

func importCommand() cli.Command {
	return cli.Command{
		Name: "import", Args: []string{"NAME", "SOURCE"}, About: "move mail in, from files or an IMAP server",
		Text: `Adds the mail of SOURCE to the account NAME. SOURCE is a file or folder, or
imap://USER@HOST or imaps://USER@HOST, with :PORT if it is not the usual one. imap
is encrypted by STARTTLS, unless -plain is given; the server's password is read from
-password-file, else asked for after the account's.

Files and folders may be: an mbox or a tree of them; a profile of Thunderbird, or one
account's folder in it; an export of Apple Mail (.mbox folders), or its own folders
(.emlx); the mail of Google Takeout, unpacked; a Maildir++, with Dovecot's
dovecot-uidlist and dovecot-keywords; a tree of .eml files, as "export" writes it. The
format is found out. -format names it: maildir, mbox, takeout, eml, or mboxo, which
cannot be found out (only ">From" stands for "From" there).

Folders, flags and keywords, dates, subscriptions and the bytes are kept. Each line that
ends in LF gets the end of mail, CR LF, unless -keep-line-ends is given. Into folders
that never held a message UIDs and UIDVALIDITY are kept too, so that clients that are
pointed here do not download everything again. Labels of Takeout are folders and flags:
a mail with two labels comes in two folders.

Run the command again after an interruption, by a signal or a loss of power: it goes on.
Nothing is added twice: a mail that was imported is known by its place at the source,
also after it was moved to another folder. Mails that were deleted here come again.

At the end it says how many mails were read, added, there already, and refused, and
why. What cannot be read or taken is named on standard error, and makes the exit
status 1; -on-error stop ends at the first. With -json, lines of JSON are printed:
objects with the member event, which is folder, progress (at most one a second), problem
or done.

` + access.PasswordHelp,
		Examples: []string{
			"mailserver import ann ~/Maildir -store ./mail",
			"mailserver import ann old.mbox -into Old -store ./mail",
			"mailserver import ann ~/Takeout -store ./mail",
			"mailserver import ann imaps://ann@mail.example.org -store ./mail",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f importFlags
			f.AccountFlags.Add(fs)
			fs.StringVar(&f.format, "format", "", "maildir, mbox, mboxo, takeout or eml (default found out)")
			fs.StringVar(&f.into, "into", "", "the `folder` for a source of one folder, above all others of a source with many")
			fs.StringVar(&f.only, "folder", "", "import only this `folder` of the source")
			fs.StringVar(&f.onError, "on-error", "skip", "skip what cannot be read or taken, or stop")
			fs.BoolVar(&f.keepLineEnds, "keep-line-ends", false, "leave the ends of lines as they are")
			fs.BoolVar(&f.asJSON, "json", false, "print lines of JSON")
			fs.StringVar(&f.passwordFile, "password-file", "", "a `file` with the IMAP server's password in its first line")
			fs.BoolVar(&f.plain, "plain", false, "do not encrypt the connection of imap://")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.run(ctx, p, names[0], names[1])
			}
		},
	}
}

type importFlags struct {
	access.AccountFlags
	format       string
	into, only   string
	onError      string
	keepLineEnds bool
	asJSON       bool
	passwordFile string
	plain        bool
}

// source is where mail comes from.
type source struct {
	kind    string // the beginning of its messages' origins
	scope   string // the server, if it is one
	folders []sourceFolder
	errs    []error // what could not be read of it
	close   func() error
}

// sourceFolder is a folder with what no archive has.
type sourceFolder struct {
	archive.Folder
	specialUse []string
	bind       func(to string) // is called with the mailbox that it goes to; may be nil
}

func (f *importFlags) check(source string) error {
	switch {
	case f.onError != "skip" && f.onError != "stop":
		return cli.Usagef("-on-error is skip or stop")
	case !slices.Contains([]string{"", archive.FormatMaildir, archive.FormatMbox, archive.FormatMboxo, archive.FormatTakeout, archive.FormatEml}, f.format):
		return cli.Usagef("-format is maildir, mbox, mboxo, takeout or eml")
	case remote(source) && f.format != "":
		return cli.Usagef("-format is for files")
	case !remote(source) && (f.plain || f.passwordFile != ""):
		return cli.Usagef("-plain and -password-file are for IMAP servers")
	}
	if remote(source) {
		_, err := parseServer(source, f.plain)
		return err
	}
	return nil
}

func (f *importFlags) run(ctx context.Context, p *cli.Program, name, from string) error {
	if err := f.check(from); err != nil {
		return err
	}
	// Much is made and forgotten: it is not to pile up beside a server.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	return f.With(ctx, p, access.Change, name, func(a *mailbox.Account) error {
		im, err := a.Importer(ctx)
		if err != nil {
			return err
		}
		m := &mover{flags: f, account: a, importer: im, report: newReport(p, f.asJSON)}
		src, err := m.open(ctx, p, from)
		if err != nil {
			return err
		}
		err = m.run(ctx, src)
		if src.close != nil {
			err = errors.Join(err, src.close())
		}
		return m.report.done(err)
	})
}

// mover moves a source into an account.
type mover struct {
	flags    *importFlags
	account  *mailbox.Account
	importer *mailbox.Importer
	report   *report
}

// open finds the folders of a source.
func (m *mover) open(ctx context.Context, p *cli.Program, from string) (*source, error) {
	if remote(from) {
		return m.openServer(ctx, p, from)
	}
	format := m.flags.format
	if format == "" {
		var err error
		if format, err = archive.Find(from); err != nil {
			return nil, err
		}
	}
	src := &source{kind: "file"}
	o := archive.Options{KeepLineEnds: m.flags.keepLineEnds, Mboxo: format == archive.FormatMboxo}
	var folders []archive.Folder
	switch format {
	case archive.FormatMaildir:
		folders, src.errs = archive.Maildir(from, o)
	case archive.FormatEml:
		folders, src.errs = archive.Eml(from, o)
	case archive.FormatTakeout:
		src.kind = "takeout"
		m.report.say("finding the labels")
		folders, m.report.Twice, src.errs = archive.Takeout(ctx, from, o)
	default:
		src.kind = "mbox"
		folders, src.errs = archive.Mbox(from, o)
	}
	for _, f := range folders {
		s := sourceFolder{Folder: f}
		if f.SpecialUse != "" {
			s.specialUse = []string{f.SpecialUse}
		}
		src.folders = append(src.folders, s)
	}
	if len(folders) == 0 {
		return nil, errors.Join(append(src.errs, fmt.Errorf("no mail found in %s", from))...)
	}
	return src, nil
}

// run imports the folders of a source. What cannot be read is reported.
func (m *mover) run(ctx context.Context, src *source) error {
	for _, err := range src.errs {
		if err := m.problem("", "", err); err != nil {
			return err
		}
	}
	var folders []sourceFolder
	for _, f := range src.folders {
		if m.flags.only == "" || m.flags.only == f.Name {
			folders = append(folders, f)
			m.report.total += f.Weight
		}
	}
	if len(folders) == 0 {
		var names []string
		for _, f := range src.folders {
			names = append(names, f.Name)
		}
		return fmt.Errorf("-folder: the source has no folder %q; it has %q", m.flags.only, names)
	}
	for _, f := range folders {
		to, err := m.target(f.Name, len(src.folders) == 1)
		if err == nil {
			if f.bind != nil {
				f.bind(to)
			}
			err = m.folder(ctx, src, f, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// target returns the mailbox that a folder goes to.
func (m *mover) target(name string, alone bool) (string, error) {
	to := name
	switch {
	case m.flags.into != "" && alone:
		to = m.flags.into
	case m.flags.into != "":
		to = m.flags.into + "/" + name
	}
	if _, err := mailbox.CanonicalName(to); err == nil {
		return to, nil
	}
	good := goodName(to)
	return good, m.problem(to, "", fmt.Errorf("%w: it goes to %q", errName, good))
}

// errName is a name that had to be changed.
var errName = errors.New("no mailbox can have this name")

// goodName makes a name that mailboxes can have.
func goodName(name string) string {
	levels := strings.Split(strings.ToValidUTF8(name, "_"), "/")
	for i, l := range levels {
		l = strings.Map(func(r rune) rune {
			if _, err := mailbox.CanonicalName(string(r)); err != nil {
				return '_'
			}
			return r
		}, l)
		for len(l) > mailbox.MaxMailboxLevel {
			r := []rune(l)
			l = string(r[:len(r)-1])
		}
		if l == "" {
			l = "_"
		}
		levels[i] = l
	}
	if len(levels) > mailbox.MaxMailboxDepth {
		levels = append(levels[:mailbox.MaxMailboxDepth-1], strings.Join(levels[mailbox.MaxMailboxDepth-1:], "_"))
	}
	if name, err := mailbox.CanonicalName(strings.Join(levels, "/")); err == nil {
		return name
	}
	return "imported"
}

// folder imports one folder.
func (m *mover) folder(ctx context.Context, src *source, f sourceFolder, to string) error {
	if err := m.prepare(ctx, f, to); err != nil {
		return err
	}
	m.report.folder(to)
	res, err := m.importer.Import(ctx, to, m.messages(src, f, to), mailbox.ImportOptions{
		UIDValidity: f.UIDValidity, UIDNext: mailbox.UID(f.UIDNext),
		Done: func(msg mailbox.ImportMessage, got mailbox.Imported) error {
			switch {
			case got.Err != nil:
				m.report.Refused++
				m.report.step(msg.Weight)
				return m.problem(to, msg.Name, got.Err)
			case got.Present:
				m.report.Present++
			default:
				m.report.Added++
			}
			m.report.FlagsLeft += got.Keywords
			m.report.step(msg.Weight)
			return nil
		},
	})
	m.report.endFolder(to, f.UIDValidity != 0, res)
	if errors.Is(err, archive.ErrFolder) && m.flags.onError == "skip" {
		return m.problem(to, "", err)
	}
	return err
}

// prepare makes the mailbox and subscribes to it.
func (m *mover) prepare(ctx context.Context, f sourceFolder, to string) error {
	_, err := m.account.Status(ctx, to)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		err = m.account.Create(ctx, to, f.specialUse...)
		if errors.Is(err, mailbox.ErrBadSpecialUse) { // another has it
			err = m.account.Create(ctx, to)
		}
	}
	if err != nil || !f.Subscribed {
		return err
	}
	return m.account.Subscribe(ctx, to, true)
}

// messages yields what is to be imported, and an error where it ends early.
func (m *mover) messages(src *source, f sourceFolder, to string) iter.Seq2[mailbox.ImportMessage, error] {
	return func(yield func(mailbox.ImportMessage, error) bool) {
		for msg, err := range f.Messages {
			if err != nil && !errors.Is(err, archive.ErrFolder) && !errors.Is(err, errLost) {
				m.report.step(msg.Weight)
				if !errors.Is(err, archive.ErrText) && !errors.Is(err, archive.ErrNoMail) {
					m.report.Refused++
				}
				if err = m.problem(to, msg.Name, err); err == nil {
					continue
				}
			}
			if err != nil {
				yield(mailbox.ImportMessage{}, err)
				return
			}
			flags, left := goodFlags(msg.Flags)
			m.report.FlagsLeft += left
			date := msg.Date
			if y := date.UTC().Year(); y < 2 || y > 9998 {
				date = time.Time{} // none that IMAP can write: now
			}
			out := mailbox.ImportMessage{
				Origin: src.origin(to, msg.Key), Name: msg.Name, Weight: msg.Weight, Flags: flags, Date: date,
				UID: mailbox.UID(msg.UID), Open: msg.Open,
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// origin tells a message from all others: see docs/format.md.
func (s *source) origin(mailbox, key string) string {
	parts := []string{s.kind, mailbox, key}
	if s.scope != "" {
		parts = slices.Insert(parts, 1, s.scope)
	}
	return strings.Join(parts, "\x00")
}

// goodFlags returns the flags that mailboxes can have, and how many others there
// are. \Recent is none of a message.
func goodFlags(flags []string) (good []string, left int) {
	for _, f := range flags {
		switch {
		case strings.EqualFold(f, `\Recent`):
		case mailbox.CheckFlag(f) != nil:
			left++
		default:
			good = append(good, f)
		}
	}
	return good, left
}

// problem reports what could not be read or taken, and returns it if that is to end
// the import.
func (m *mover) problem(folder, name string, err error) error {
	m.report.problem(folder, name, err)
	if m.flags.onError == "stop" {
		return err
	}
	return nil
}
