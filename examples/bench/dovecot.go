package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/template"
)

// dovecot is Debian's Dovecot (packages dovecot-imapd and dovecot-lmtpd) with
// mails in sdbox. It must be started as root.
type dovecot struct {
	label string
	dir   string
	crypt bool // mail_crypt with a global key
	all   []account

	imapPort, lmtpPort int

	mu sync.Mutex // protects p, which a sampler asks for
	p  *process
}

func (d *dovecot) name() string        { return d.label }
func (d *dovecot) imap() string        { return fmt.Sprintf("127.0.0.1:%d", d.imapPort) }
func (d *dovecot) lmtp() string        { return fmt.Sprintf("127.0.0.1:%d", d.lmtpPort) }
func (d *dovecot) accounts() []account { return d.all }
func (d *dovecot) folder() string      { return filepath.Join(d.dir, d.label) }

func (d *dovecot) pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.p.pid()
}

func (d *dovecot) version() string {
	out, err := exec.Command("dovecot", "--version").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// The defaults of the package, but for: what a test needs to run beside an
// installed one; no limit of connections that would end a workload; and
// mail_fsync, so that an OK means as much as letterlock's. Of the accounts that
// only log in the passwords are hashed; those of the others are not, so that a
// thousand connections do not measure argon2.
var dovecotConfig = template.Must(template.New("").Parse(`
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = {{.Dir}}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_uid = {{.UID}}
mail_gid = {{.GID}}
mail_home = {{.Dir}}/mail/%u
mail_location = sdbox:~/sdbox
mail_fsync = always
mail_max_userip_connections = 0
auth_username_format = %n
default_vsz_limit = 2G
namespace inbox {
  inbox = yes
}
passdb {
  driver = passwd-file
  args = {{.Dir}}/users
}
userdb {
  driver = static
  args = uid={{.UID}} gid={{.GID}} home={{.Dir}}/mail/%n
}
service imap-login {
  inet_listener imap {
    port = {{.IMAP}}
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    port = {{.LMTP}}
  }
}
service imap {
  process_limit = 20000
}
service anvil {
  client_limit = 30000
}
service auth {
  client_limit = 30000
}
{{if .Crypt}}
mail_plugins = $mail_plugins mail_crypt
plugin {
  mail_crypt_global_private_key = <{{.Dir}}/private.pem
  mail_crypt_global_public_key = <{{.Dir}}/public.pem
  mail_crypt_save_version = 2
}
{{end}}`))

func (d *dovecot) start(ctx context.Context) error {
	if os.Getuid() != 0 {
		return errors.New("Dovecot is started as root only")
	}
	if _, err := exec.LookPath("dovecot"); err != nil {
		return errors.New("there is no dovecot (apt-get install dovecot-imapd dovecot-lmtpd)")
	}
	owner, err := user.Lookup("mail")
	if err != nil {
		return err
	}
	// Its processes run as several users, who must get to their folder.
	if err := os.Chmod(d.dir, 0o711); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.folder(), "mail"), 0o755); err != nil {
		return err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	if err := os.Chown(filepath.Join(d.folder(), "mail"), uid, -1); err != nil {
		return err
	}
	for _, port := range []*int{&d.imapPort, &d.lmtpPort} {
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	if err := d.configure(ctx, owner); err != nil {
		return err
	}
	return d.serve(ctx)
}

// configure writes the configuration, the accounts and the keys.
func (d *dovecot) configure(ctx context.Context, owner *user.User) error {
	var config bytes.Buffer
	if err := dovecotConfig.Execute(&config, map[string]any{
		"Dir": d.folder(), "UID": owner.Uid, "GID": owner.Gid, "IMAP": d.imapPort, "LMTP": d.lmtpPort, "Crypt": d.crypt,
	}); err != nil {
		return err
	}
	if err := os.WriteFile(d.file("dovecot.conf"), config.Bytes(), 0o644); err != nil {
		return err
	}
	hash, err := exec.CommandContext(ctx, "doveadm", "-c", d.file("dovecot.conf"), "-O", "pw", "-s", "ARGON2ID", "-p", password).Output()
	if err != nil {
		return fmt.Errorf("hash a password: %w", err)
	}
	var users strings.Builder
	for i, a := range d.all {
		if i == d.hashed() {
			fmt.Fprintf(&users, "%s:%s\n", a.name, bytes.TrimSpace(hash))
			continue
		}
		fmt.Fprintf(&users, "%s:{PLAIN}%s\n", a.name, a.password)
	}
	if err := os.WriteFile(d.file("users"), []byte(users.String()), 0o644); err != nil {
		return err
	}
	if !d.crypt {
		return nil
	}
	for _, args := range [][]string{
		{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", d.file("private.pem")},
		{"pkey", "-in", d.file("private.pem"), "-pubout", "-out", d.file("public.pem")},
	} {
		if out, err := exec.CommandContext(ctx, "openssl", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("openssl %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// hashed returns the number of the account whose password is hashed by argon2id.
func (d *dovecot) hashed() int { return len(d.all) - 1 }

func (d *dovecot) file(name string) string { return filepath.Join(d.folder(), name) }

func (d *dovecot) serve(ctx context.Context) error {
	p, err := startProcess(d.file("output"), "dovecot", "-F", "-c", d.file("dovecot.conf"))
	if err != nil {
		return err
	}
	d.set(p)
	if err := waitListen(ctx, d.imap()); err != nil {
		log, _ := os.ReadFile(d.file("log")) // none: the error says enough
		return fmt.Errorf("%w: %s", err, log)
	}
	return nil
}

func (d *dovecot) set(p *process) *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.p
	d.p = p
	return old
}

// stop ends the master and what it started: its children have groups of their
// own, and may outlive it by a little.
func (d *dovecot) stop() error {
	p := d.set(nil)
	if p == nil {
		return nil
	}
	children := descendants(p.pid())
	err := p.stop()
	for _, c := range children[1:] {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", c)); strings.Contains(exe, "dovecot") {
			_ = syscall.Kill(c, syscall.SIGKILL) // it may have ended
		}
	}
	return err
}

func (d *dovecot) restart(ctx context.Context) error {
	if err := d.stop(); err != nil {
		return err
	}
	return d.serve(ctx)
}
