package access

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

const maxRecovery = 64 << 10 // bytes of a recovery file

// AccountKey is what opens an account.
type AccountKey struct {
	Name     string
	password []byte
	identity *crypto.Identity // in place of the password, or nil
}

// KeyOf asks for an account's password, or reads the identity in a file.
func KeyOf(ctx context.Context, p *cli.Program, s *mailbox.Store, name, recoveryFile string) (*AccountKey, error) {
	if err := s.Lookup(ctx, name); err != nil {
		return nil, err // said before anybody types a password
	}
	k := &AccountKey{Name: name}
	var err error
	if recoveryFile != "" {
		k.identity, err = readIdentity(recoveryFile)
	} else {
		k.password, err = p.Password(ctx, "Password")
	}
	return k, err
}

func (k *AccountKey) Open(ctx context.Context, s *mailbox.Store) (*mailbox.Account, error) {
	if k.identity != nil {
		return s.OpenAccount(ctx, k.Name, k.identity)
	}
	return s.Login(ctx, k.Name, k.password)
}

// Check checks the account, also if it cannot be opened.
func (k *AccountKey) Check(ctx context.Context, s *mailbox.Store, report func(mailbox.Problem)) (mailbox.CheckReport, error) {
	if k.identity != nil {
		return s.CheckIdentity(ctx, k.Name, k.identity, report)
	}
	return s.CheckLogin(ctx, k.Name, k.password, report)
}

func (k *AccountKey) Wipe() {
	clear(k.password)
	if k.identity != nil {
		k.identity.Wipe()
	}
}

// openAccount opens an account by its password, or by the identity in a file.
func openAccount(ctx context.Context, p *cli.Program, s *mailbox.Store, name, recoveryFile string) (*mailbox.Account, error) {
	k, err := KeyOf(ctx, p, s, name, recoveryFile)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	return k.Open(ctx, s)
}

// readIdentity reads the identity that opens an account: the first one of a file.
func readIdentity(file string) (*crypto.Identity, error) {
	all, err := ReadIdentities(file)
	if err != nil {
		return nil, err
	}
	Wipe(all[1:])
	return all[0], nil
}

func Wipe(identities []*crypto.Identity) {
	for _, id := range identities {
		id.Wipe()
	}
}

// ReadIdentities reads a file as "account recovery -all" prints it, and as age
// writes them: identities, the newest first, among empty lines and comments.
func ReadIdentities(file string) ([]*crypto.Identity, error) {
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
				Wipe(found)
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
