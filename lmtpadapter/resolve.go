package lmtpadapter

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/mailbox"
)

// storeError is what the store said, whose errors name no address and can be logged.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// resolve finds the account and folder for a recipient. Its errors are for
// status alone, and for the log only those that are a storeError: others may come
// from Options.Resolve.
func (b *Backend) resolve(ctx context.Context, a address) (account, folder string, err error) {
	if b.o.Resolve == nil {
		account, folder, err = b.find(ctx, a)
		return account, usableFolder(folder), err
	}
	account, folder, err = b.o.Resolve(ctx, a.plain())
	if err != nil {
		return "", "", err
	}
	return account, usableFolder(folder), b.lookup(ctx, account)
}

// find is the default of Options.Resolve. The store takes account names in any
// case.
func (b *Backend) find(ctx context.Context, a address) (account, folder string, err error) {
	if len(b.o.Domains) > 0 && !slices.Contains(b.o.Domains, strings.ToLower(a.domain)) {
		return "", "", errNotOurs
	}
	// An '@' that was quoted must not turn into the one before a domain: the
	// account of user@example.org is not reached by "user@example.org"@elsewhere.
	if strings.ContainsRune(a.local, '@') {
		return "", "", mailbox.ErrNoAccount
	}
	type place struct{ account, folder string }
	user, detail, tagged := strings.Cut(a.local, "+")
	places := []place{{user + "@" + a.domain, detail}, {user, detail}}
	if user == "" {
		places = nil
	}
	if tagged {
		places = append(places, place{a.local + "@" + a.domain, ""}, place{a.local, ""})
	}
	for _, p := range places {
		if err := b.lookup(ctx, p.account); !errors.Is(err, mailbox.ErrNoAccount) {
			return p.account, p.folder, err
		}
	}
	return "", "", mailbox.ErrNoAccount
}

// lookup asks whether an account exists. No account can have a name that is not
// allowed.
func (b *Backend) lookup(ctx context.Context, name string) error {
	err := b.store.Lookup(ctx, name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mailbox.ErrBadName):
		return mailbox.ErrNoAccount
	}
	return storeError{err}
}

// usableFolder returns the canonical form of a folder's name, or "" (INBOX) for
// INBOX and for what no folder can be called. Mail with an odd tag is still mail.
func usableFolder(name string) string {
	if name == "" {
		return ""
	}
	canonical, err := mailbox.CanonicalName(name)
	if err != nil || canonical == mailbox.Inbox {
		return ""
	}
	return canonical
}
