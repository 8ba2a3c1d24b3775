// Package mailboxtest is for tests of what is built on package mailbox: it checks
// the stores that they wrote.
package mailboxtest

import (
	"context"
	"testing"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox"
)

// CheckAtEnd checks a store when the test ends, after what was registered with
// Cleanup later: call it before the store is opened. Any problem fails the test,
// but those that are harmless. A test that failed already, or damaged its store on
// purpose and did not call this, is left alone.
func CheckAtEnd(t testing.TB, blobs blob.Store) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			Check(t, blobs)
		}
	})
}

// Check checks a store without any keys: names, slots, published keys and the
// chain of every log. A store that nobody opened yet has nothing to check.
func Check(t testing.TB, blobs blob.Store) {
	t.Helper()
	ctx := context.Background()
	for _, err := range blobs.List(ctx, "", "") {
		if err != nil {
			t.Fatalf("check of the store: %v", err)
		}
		s, err := mailbox.Open(ctx, blobs, mailbox.Options{PollInterval: -1, NoCollect: true})
		if err != nil {
			t.Fatalf("check of the store: %v", err)
		}
		defer s.Close()
		if _, err := s.Check(ctx, report(t)); err != nil {
			t.Errorf("check of the store: %v", err)
		}
		return
	}
}

// CheckAccount checks everything of an account, to the last byte of every body.
func CheckAccount(t testing.TB, a *mailbox.Account) {
	t.Helper()
	if _, err := a.Check(context.Background(), report(t)); err != nil {
		t.Errorf("check of the account: %v", err)
	}
}

func report(t testing.TB) func(mailbox.Problem) {
	return func(p mailbox.Problem) {
		t.Helper()
		if !p.Harmless {
			t.Errorf("the store is damaged: %v", p)
		}
	}
}
