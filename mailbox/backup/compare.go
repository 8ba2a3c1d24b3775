package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// Compared says what [Compare] saw.
type Compared struct {
	Same      int // objects that are equal
	Bytes     int64
	Different int // reported
	Newer     int // that only the source has: made after the copy, or never copied
	Kept      int // that only the copy has: superseded or deleted in the source
}

// Compare reads a copy and its source and compares every object that both have, to
// the last byte. report is called with the name of each that is not the same, or
// cannot be read. It goes on past these; the error is that of a listing, or ctx's.
func Compare(ctx context.Context, from, to blob.Store, report func(object string, err error)) (Compared, error) {
	var c Compared
	err := merge(ctx, from, to, "", func(name string, source, target bool) error {
		switch {
		case strings.HasPrefix(name, layout.WakeFolder):
		case !target:
			c.Newer++
		case !source:
			c.Kept++
		default:
			return c.object(ctx, from, to, name, report)
		}
		return ctx.Err()
	})
	if err != nil {
		return c, fmt.Errorf("backup: compare: %w", err)
	}
	return c, nil
}

var errDiffers = errors.New("copy differs from the source")

func (c *Compared) object(ctx context.Context, from, to blob.Store, name string, report func(string, error)) error {
	same, err := equal(ctx, from, to, name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errVanished):
		c.Kept++
		return nil
	case err == nil && !same:
		err = errDiffers
	}
	if err != nil {
		c.Different++
		report(name, err)
		return nil
	}
	c.Same++
	if info, err := to.Stat(ctx, name); err == nil {
		c.Bytes += info.Size
	}
	return nil
}
