package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

const (
	maxLine     = 4096 // bytes of a password, or of a line of a recovery file
	maxRecovery = 64 << 10
)

// terminal returns the terminal that standard input is, if it is one.
func (p *program) terminal() (fd int, ok bool) {
	f, ok := p.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// password asks for a password at the terminal, or takes the next line of
// standard input.
func (p *program) password(ctx context.Context, prompt string) ([]byte, error) {
	fd, ok := p.terminal()
	if !ok {
		return interruptible(ctx, func() ([]byte, error) { return p.line(prompt) })
	}
	shown, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("read password: %w", err)
	}
	fmt.Fprintf(p.err, "%s: ", prompt)
	b, err := interruptible(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	fmt.Fprintln(p.err)
	if err != nil {
		// Who interrupts the question must see again what they type.
		return nil, errors.Join(fmt.Errorf("read password: %w", err), term.Restore(fd, shown))
	}
	return b, nil
}

// line takes the next line of standard input.
func (p *program) line(what string) ([]byte, error) {
	line, err := p.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, fmt.Errorf("no %s on standard input", strings.ToLower(what))
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%s of more than %d bytes", strings.ToLower(what), maxLine)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read %s: %w", strings.ToLower(what), err)
	}
	return bytes.Clone(bytes.TrimRight(line, "\r\n")), nil
}

// interruptible returns when read does or ctx ends. Nothing can end a read of
// standard input, so it is left behind then: the process is about to end.
func interruptible(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	c := make(chan result, 1)
	go func() {
		b, err := read()
		c <- result{b, err}
	}()
	select {
	case r := <-c:
		return r.b, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// newPassword asks for a password to be, twice if somebody types it.
func (p *program) newPassword(ctx context.Context, prompt string) ([]byte, error) {
	b, err := p.password(ctx, prompt)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errors.New("an empty password is not allowed")
	}
	if _, ok := p.terminal(); ok {
		again, err := p.password(ctx, prompt+" again")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(b, again) {
			return nil, errors.New("the two passwords differ")
		}
	}
	return b, nil
}

// accountKey is what opens an account.
type accountKey struct {
	name     string
	password []byte
	identity *crypto.Identity // in place of the password, or nil
}

// key asks for an account's password, or reads the identity in a file.
func (p *program) key(ctx context.Context, s *mailbox.Store, name, recoveryFile string) (*accountKey, error) {
	if err := s.Lookup(ctx, name); err != nil {
		return nil, err // said before anybody types a password
	}
	k := &accountKey{name: name}
	var err error
	if recoveryFile != "" {
		k.identity, err = readIdentity(recoveryFile)
	} else {
		k.password, err = p.password(ctx, "Password")
	}
	return k, err
}

func (k *accountKey) open(ctx context.Context, s *mailbox.Store) (*mailbox.Account, error) {
	if k.identity != nil {
		return s.OpenAccount(ctx, k.name, k.identity)
	}
	return s.Login(ctx, k.name, k.password)
}

// check checks the account, also if it cannot be opened.
func (k *accountKey) check(ctx context.Context, s *mailbox.Store, report func(mailbox.Problem)) (mailbox.CheckReport, error) {
	if k.identity != nil {
		return s.CheckIdentity(ctx, k.name, k.identity, report)
	}
	return s.CheckLogin(ctx, k.name, k.password, report)
}

func (k *accountKey) wipe() {
	clear(k.password)
	if k.identity != nil {
		k.identity.Wipe()
	}
}

// open opens an account by its password, or by the identity in a file.
func (p *program) open(ctx context.Context, s *mailbox.Store, name, recoveryFile string) (*mailbox.Account, error) {
	k, err := p.key(ctx, s, name, recoveryFile)
	if err != nil {
		return nil, err
	}
	defer k.wipe()
	return k.open(ctx, s)
}

// readIdentity reads the identity that opens an account: the first one of a file.
func readIdentity(file string) (*crypto.Identity, error) {
	all, err := readIdentities(file)
	if err != nil {
		return nil, err
	}
	wipe(all[1:])
	return all[0], nil
}

func wipe(identities []*crypto.Identity) {
	for _, id := range identities {
		id.Wipe()
	}
}

// readIdentities reads a file as "account recovery -all" prints it, and as age
// writes them: identities, the newest first, among empty lines and comments.
func readIdentities(file string) ([]*crypto.Identity, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("recovery file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecovery))
	if err != nil {
		return nil, fmt.Errorf("recovery file: %w", err)
	}
	var found []*crypto.Identity
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			id, err := crypto.ParseIdentity(line)
			if err != nil {
				wipe(found)
				return nil, fmt.Errorf("recovery file %s: %w", file, err)
			}
			found = append(found, id)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("recovery file %s: there is no identity in it", file)
	}
	return found, nil
}
