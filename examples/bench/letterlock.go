package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// letterlock is the example server of this repository.
type letterlock struct {
	dir     string
	program string // "" until it is built
	all     []account
	tokens  int     // how many of the accounts have one
	bucket  *bucket // nil: objects are in a folder

	imapAddress, lmtpAddress string

	mu sync.Mutex // protects p, which a sampler asks for
	p  *process
}

const libraryModule = "github.com/letterlock/letterlock"

func (l *letterlock) name() string {
	if l.bucket != nil {
		return "letterlock-s3"
	}
	return "letterlock"
}
func (l *letterlock) imap() string        { return l.imapAddress }
func (l *letterlock) lmtp() string        { return l.lmtpAddress }
func (l *letterlock) accounts() []account { return l.all }

// place are the arguments that say where the objects are.
func (l *letterlock) place() []string {
	dir := filepath.Join(l.dir, l.name())
	if l.bucket != nil {
		return []string{"-store", l.bucket.store, "-server-key", filepath.Join(dir, "serverkey")}
	}
	return []string{"-store", filepath.Join(dir, "mail")}
}

// inBucket is letterlock with its objects in a bucket.
type inBucket struct{ *letterlock }

func (l inBucket) requests() requestKinds { return l.bucket.requests() }

func (l inBucket) stop() error { return errors.Join(l.letterlock.stop(), l.bucket.close()) }

func (l *letterlock) pid() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.p.pid()
}

// version is the commit of the repository, if this is one.
func (l *letterlock) version() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func (l *letterlock) start(ctx context.Context) error {
	if err := os.Mkdir(filepath.Join(l.dir, l.name()), 0o700); err != nil {
		return err
	}
	if l.program == "" {
		program, err := buildMailserver(ctx, filepath.Join(l.dir, l.name()))
		if err != nil {
			return err
		}
		l.program = program
	}
	for _, address := range []*string{&l.imapAddress, &l.lmtpAddress} {
		port, err := freePort()
		if err != nil {
			return err
		}
		*address = fmt.Sprintf("127.0.0.1:%d", port)
	}
	// The first makes the store, which then takes the others two at a time.
	for _, part := range [][]account{l.all[:1], l.all[1:]} {
		if err := together(len(part), 2, func(i int) error {
			_, err := l.command(ctx, "account", "add", part[i].name)
			return err
		}); err != nil {
			return err
		}
	}
	for i := range l.all[:l.tokens] {
		token, err := l.command(ctx, "account", "token", "add", l.all[i].name)
		if err != nil {
			return err
		}
		l.all[i].token = strings.TrimSpace(token)
	}
	return l.serve(ctx)
}

// buildMailserver compiles the example server into a folder.
func buildMailserver(ctx context.Context, dir string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", libraryModule).Output()
	if err != nil {
		return "", fmt.Errorf("find the library, which needs the folder of this program as working directory: %w", err)
	}
	program := filepath.Join(dir, "mailserver")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./examples/mailserver")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the mail server: %w: %s", err, out)
	}
	return program, nil
}

// command runs a command of the program that asks for a password.
func (l *letterlock) command(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, l.program, append(args, l.place()...)...)
	c.Stdin = strings.NewReader(password + "\n")
	out, err := c.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("%s: %s", strings.Join(args, " "), exit.Stderr)
	}
	return string(out), err
}

func (l *letterlock) serve(ctx context.Context) error {
	p, err := startProcess(filepath.Join(l.dir, l.name(), "log"), l.program,
		append([]string{"serve", "-imap", l.imapAddress, "-lmtp", l.lmtpAddress, "-max-conns", "16384"}, l.place()...)...)
	if err != nil {
		return err
	}
	l.set(p)
	return waitListen(ctx, l.imapAddress)
}

func (l *letterlock) set(p *process) *process {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.p
	l.p = p
	return old
}

func (l *letterlock) stop() error { return l.set(nil).stop() }

func (l *letterlock) restart(ctx context.Context) error {
	if err := l.stop(); err != nil {
		return err
	}
	return l.serve(ctx)
}
