package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// server is what is measured.
type server interface {
	name() string
	version() string
	start(context.Context) error
	stop() error                   // ends all its processes; also after a start that failed
	restart(context.Context) error // as errSkipped if it is not ours to restart

	pid() int     // of the first process; 0 if it is not known
	imap() string // host:port
	lmtp() string // host:port, or ""

	// accounts are those that mails are put into, and, on servers of ours, more
	// that only log in; all passwords are hashed by argon2id.
	accounts() []account
}

type account struct {
	name, password string
	token          string // "" if the server has none
}

// address returns where the account's mail is delivered to.
func (a account) address() string {
	if strings.Contains(a.name, "@") {
		return a.name
	}
	return a.name + "@example.org"
}

// quick returns what logs the account in soonest: what argon2 costs a server has
// a workload of its own, and would hide what else happens there.
func (a account) quick() string {
	if a.token != "" {
		return a.token
	}
	return a.password
}

const password = "a password, only to measure"

// newAccounts returns n accounts with names in order.
func newAccounts(n int) []account {
	var all []account
	for i := range n {
		all = append(all, account{name: fmt.Sprintf("user%03d", i), password: password})
	}
	return all
}

// chosen returns the servers of the command line. dir is where they keep data.
func (o *options) chosen(dir string) ([]server, error) {
	if o.address != "" {
		e := &external{address: o.address, lmtpAddress: o.lmtp, process: o.pid}
		for s := range strings.SplitSeq(o.accounts, ",") {
			name, password, ok := strings.Cut(s, ":")
			if !ok {
				return nil, fmt.Errorf("-accounts: %q is not name:password", name)
			}
			e.all = append(e.all, account{name: name, password: password})
		}
		return []server{e}, nil
	}
	var servers []server
	n := max(o.counts.logins, o.counts.accounts+2)
	for s := range strings.SplitSeq(o.servers, ",") {
		switch s {
		case "letterlock":
			servers = append(servers, &letterlock{dir: dir, program: o.mailserver, all: newAccounts(n), tokens: o.counts.accounts + 2})
		case "letterlock-s3":
			b, err := openBucket(o.store)
			if err != nil {
				return nil, err
			}
			servers = append(servers, inBucket{&letterlock{dir: dir, program: o.mailserver, all: newAccounts(n), tokens: o.counts.accounts + 2, bucket: b}})
		case "dovecot":
			servers = append(servers, &dovecot{label: s, dir: dir, all: newAccounts(n)})
		case "dovecot-crypt":
			servers = append(servers, &dovecot{label: s, dir: dir, all: newAccounts(n), crypt: true})
		default:
			return nil, fmt.Errorf("-servers: %q is not letterlock, letterlock-s3, dovecot or dovecot-crypt", s)
		}
	}
	return servers, nil
}

// external is a server that runs already.
type external struct {
	address, lmtpAddress string
	process              int
	all                  []account
}

func (e *external) name() string                    { return "external" }
func (e *external) version() string                 { return e.address }
func (e *external) start(ctx context.Context) error { return waitListen(ctx, e.address) }
func (e *external) stop() error                     { return nil }
func (e *external) restart(context.Context) error   { return skipf("the server was not started by us") }
func (e *external) pid() int                        { return e.process }
func (e *external) imap() string                    { return e.address }
func (e *external) lmtp() string                    { return e.lmtpAddress }
func (e *external) accounts() []account             { return e.all }

// process is a server's first process, started in a process group of its own.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func startProcess(log string, program string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for us, who end it in order
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // it is killed if it does not end: the code says nothing
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end, and ends the whole group if it does not in time.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	<-p.ended
	return nil
}

func (p *process) pid() int {
	if p == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// freePort returns a port of 127.0.0.1 that nobody listens on at this moment.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// waitListen waits until somebody listens on an address.
func waitListen(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	retry := time.NewTicker(2 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := dialTCP(ctx, address, 0)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens: %w", err)
		case <-retry.C:
		}
	}
}
