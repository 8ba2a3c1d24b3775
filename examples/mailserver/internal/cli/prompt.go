package cli

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
)

// MaxLine is the size of the longest password, or line of a recovery file, in bytes.
const MaxLine = 4096

// terminal returns the terminal that standard input is, if it is one.
func (p *Program) terminal() (fd int, ok bool) {
	f, ok := p.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// Password asks for a password at the terminal, or takes the next line of
// standard input.
func (p *Program) Password(ctx context.Context, prompt string) ([]byte, error) {
	fd, ok := p.terminal()
	if !ok {
		return interruptible(ctx, func() ([]byte, error) { return p.line(prompt) })
	}
	shown, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("read password: %w", err)
	}
	fmt.Fprintf(p.Err, "%s: ", prompt)
	b, err := interruptible(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	fmt.Fprintln(p.Err)
	if err != nil {
		// Who interrupts the question must see again what they type.
		return nil, errors.Join(fmt.Errorf("read password: %w", err), term.Restore(fd, shown))
	}
	return b, nil
}

// line takes the next line of standard input.
func (p *Program) line(what string) ([]byte, error) {
	line, err := p.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, fmt.Errorf("no %s on standard input", strings.ToLower(what))
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%s of more than %d bytes", strings.ToLower(what), MaxLine)
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

// NewPassword asks for a password to be, twice if somebody types it.
func (p *Program) NewPassword(ctx context.Context, prompt string) ([]byte, error) {
	b, err := p.Password(ctx, prompt)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errors.New("an empty password is not allowed")
	}
	if _, ok := p.terminal(); ok {
		again, err := p.Password(ctx, prompt+" again")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(b, again) {
			return nil, errors.New("the two passwords differ")
		}
	}
	return b, nil
}

// Confirm asks for a name to be typed.
func (p *Program) Confirm(ctx context.Context, name string) error {
	if _, ok := p.terminal(); ok {
		fmt.Fprintf(p.Err, "Type %s to erase the account and all its mail: ", name)
	}
	line, err := interruptible(ctx, func() ([]byte, error) { return p.line("confirmation") })
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(line)) != name {
		return errors.New("nothing was erased: the name was not repeated")
	}
	return nil
}
