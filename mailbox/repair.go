package mailbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/check"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// RepairReport is what [Account.Repair] did.
type RepairReport struct {
	// Rebuilt says that a snapshot was made from an older one, or from the
	// beginning of the log, because the newest cannot be read whole.
	Rebuilt bool
	Removed int // damaged snapshots that nothing needs any more
	Collect CollectReport
}

// ErrNotRepairable says that nothing in the store can stand in for what is
// damaged: a copy of the store may.
var ErrNotRepairable = check.ErrNotRepairable

// Repair does what loses nothing. If the newest snapshot or what it names is
// damaged, it makes another from an older one and the entries after it, if these
// are whole; then it removes damaged snapshots; then it collects. It fails with
// [ErrNotRepairable], and changes nothing, if no snapshot leads to all messages.
// Bodies are not looked at: there is nothing that they could be made from.
func (h *Account) Repair(ctx context.Context) (RepairReport, error) {
	var rep RepairReport
	a, err := h.fresh(ctx)
	if err != nil {
		return rep, err
	}
	defer a.leave()
	c := a.checks()
	r := check.Repairer{Account: &c, Host: repairHost{gcHost{a}}}
	if rep.Rebuilt, rep.Removed, err = r.Repair(ctx); err != nil {
		if !errors.Is(err, ErrNotRepairable) {
			err = fmt.Errorf("mailbox: repair: %w", err)
		}
		return rep, err
	}
	rep.Collect, err = a.collect(ctx, CollectOptions{})
	return rep, err
}

// repairHost is an account as package check needs it to repair it.
type repairHost struct{ gcHost }

func (h repairHost) Rebase(ctx context.Context, head eventlog.Head, s *state.Account) error {
	if _, err := h.account.committer.CatchUp(ctx); err != nil {
		return err
	}
	return h.account.rebase(ctx, head, s)
}
