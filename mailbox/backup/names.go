package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// An object under name/ begins with a version byte and the account's ID.
const (
	nameHead = 1 + 16
	maxName  = 4096
)

// named returns the ID of the account that a name leads to, or nothing for a name
// that is damaged.
func named(b []byte) string {
	if len(b) < nameHead {
		return ""
	}
	return hex.EncodeToString(b[1:nameHead])
}

// names copies the names of the accounts that are whole in the target: whoever
// finds a name finds a whole account.
func (c *copier) names(ctx context.Context) error {
	elsewhere := map[string]bool{} // accounts that have a name in the source
	var gone []string
	err := merge(ctx, c.from, c.to, layout.NameFolder, func(name string, source, target bool) error {
		if !source {
			gone = append(gone, name)
			return nil
		}
		b, err := layout.ReadAll(ctx, c.from, name, maxName)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // renamed or removed at this moment; the next copy sees it
		}
		if err != nil {
			return err
		}
		id := named(b)
		elsewhere[id] = true
		if target || id != "" && !c.copied[id] {
			return nil // or made after the accounts were listed
		}
		return c.copy(ctx, name)
	})
	if err != nil && !errors.Is(err, errVanished) {
		return fmt.Errorf("backup: names: %w", err)
	}
	for _, name := range gone {
		b, err := layout.ReadAll(ctx, c.to, name, maxName)
		if err != nil {
			return fmt.Errorf("backup: names: %w", err)
		}
		// The account has another name now, or is to go with all it has.
		if id := named(b); elsewhere[id] || c.opts.Prune {
			if err := c.delete(ctx, name); err != nil {
				return err
			}
		}
	}
	if c.opts.Prune {
		return c.removed(ctx)
	}
	return nil
}

// removed deletes the accounts that the source does not have. Their names are gone.
func (c *copier) removed(ctx context.Context) error {
	for id, err := range accounts(ctx, c.to) {
		if err != nil {
			return err
		}
		prefix := layout.AccountFolder + id + "/"
		there := false
		for _, err := range c.from.List(ctx, prefix, "") {
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			there = true
			break
		}
		if there && !c.copied[id] { // or a tombstone is left of it
			_, err := c.from.Stat(ctx, "gone/"+id)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("backup: %w", err)
			}
			there = err != nil
		}
		if there {
			continue
		}
		var names []string
		for info, err := range c.to.List(ctx, prefix, "") {
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			names = append(names, info.Name)
		}
		if err := c.delete(ctx, names...); err != nil {
			return err
		}
	}
	return nil
}
