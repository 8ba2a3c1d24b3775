package mailboxtest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// A clean store passes, and a damaged one fails the test.
func TestCheck(t *testing.T) {
	ctx := context.Background()
	blobs := memblob.New()
	CheckAtEnd(t, memblob.New())
	s, err := mailbox.Open(ctx, blobs, mailbox.Options{Password: crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.CreateAccount(ctx, "ann", []byte("x")); err != nil {
		t.Fatal(err)
	}
	a, err := s.Login(ctx, "ann", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Append(ctx, "INBOX", strings.NewReader("Subject: x\r\n\r\n"), mailbox.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	Check(t, blobs)
	CheckAccount(t, a)
	for info, err := range blobs.List(ctx, "acct/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info.Name, "/body/") || strings.HasSuffix(info.Name, "/log/0000000000000001") {
			if err := blobs.Delete(ctx, info.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := &recorder{TB: t}
	Check(r, blobs)
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "/log/0000000000000001") {
		t.Errorf("found %q", r.errors)
	}
	r.errors = nil
	CheckAccount(r, a)
	if !strings.Contains(strings.Join(r.errors, "\n"), fs.ErrNotExist.Error()) {
		t.Errorf("found %q", r.errors)
	}
}
