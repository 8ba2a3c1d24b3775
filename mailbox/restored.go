package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// A store that was restored from a backup has lost what came after it, and mail
// programs have not. They know UIDs, modification sequences and mailbox IDs that the
// restored log is going to give again, to something else. So each account gets new
// UIDVALIDITYs, before anybody is told of its state: a mail program then forgets
// what it knows (RFC 9051 section 2.3.1.1) and reads the mailbox anew.
//
// Who restores has no keys. It leaves a mark, and whoever opens the account first
// with its keys writes the event:
//
//	store/restored              accounts of this store may have marks
//	acct/<id>/restored/<pos>    the log was restored up to this position
//
// A mark is done with when INBOX was made after its position, which is what the
// event does to all mailboxes. So two processes that open the account at once write
// one event, and one that is killed leaves it to the next.

// wasRestored reports whether a store has the mark of one that was restored.
func wasRestored(ctx context.Context, blobs blob.Store) (bool, error) {
	_, err := blobs.Stat(ctx, layout.Restored)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("mailbox: open store: %w", err)
	}
	return true, nil
}

// renewRestored writes the event for the account's newest mark, unless it is there.
// Nobody has been told of the account's state yet.
func (a *account) renewRestored(ctx context.Context) error {
	if !a.store.restored {
		return nil
	}
	mark := ModSeq(0)
	for info, err := range a.store.blobs.List(ctx, a.prefix+layout.RestoredFolder, "") {
		if err != nil {
			return fmt.Errorf("mailbox: look for marks of a restore: %w", err)
		}
		p, err := strconv.ParseUint(strings.TrimPrefix(info.Name, a.prefix+layout.RestoredFolder), 10, 64)
		if err == nil {
			mark = max(mark, ModSeq(p))
		}
	}
	if mark == 0 {
		return nil
	}
	_, err := a.committer.Commit(ctx, func(_ context.Context, s *state.Account, _ eventlog.Position) ([]byte, error) {
		if s.ByName(Inbox).Created > mark {
			return nil, nil
		}
		e, err := s.Restore(a.store.opts.Now().Unix(), rand.Uint32())
		if err != nil {
			return nil, err
		}
		return state.EncodeEvent(e), nil
	})
	if err != nil {
		return fmt.Errorf("mailbox: renew a restored account: %w", err)
	}
	a.store.waker.Publish(a.id)
	return nil
}
