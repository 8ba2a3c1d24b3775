package main

import (
	"context"
	"errors"
	"fmt"
)

func folderWorkloads() []workload {
	return []workload{
		{name: "copy", about: "COPY of 1,000 mails to Sent, and MOVE to Archive", needs: []string{"fill"}, run: copyMove},
		{name: "store", about: "STORE on one mail and on 1,000", needs: []string{"fill"}, run: storeFlags},
		{name: "refresh", about: "SELECT, NOOP, CHECK, STATUS and LIST", needs: []string{"fill"}, run: refresh},
	}
}

// inBig runs do in a session of the big account that has INBOX selected.
func (b *bench) inBig(ctx context.Context, do func(*client) error) error {
	c, err := b.big(ctx)
	if err != nil {
		return err
	}
	if _, err := c.do("SELECT INBOX"); err != nil {
		return errors.Join(err, c.conn.Close())
	}
	if err := do(c); err != nil {
		return errors.Join(err, c.conn.Close())
	}
	return c.close()
}

func copyMove(ctx context.Context, b *bench) error {
	return b.inBig(ctx, func(c *client) error {
		for _, folder := range []string{"Sent", "Archive"} {
			if err := c.makeFolder(folder); err != nil {
				return err
			}
		}
		if err := b.phase("COPY", func() error { return c.only("COPY 1:* Sent") }); err != nil {
			return err
		}
		if _, err := c.do("SELECT Sent"); err != nil {
			return err
		}
		return b.phase("MOVE", func() error { return c.only("MOVE 1:* Archive") })
	})
}

func storeFlags(ctx context.Context, b *bench) error {
	return b.inBig(ctx, func(c *client) error {
		sign := func(i int) string { return []string{"+", "-"}[i%2] }
		if err := b.repeat("one flag on one", b.counts.repeats, func(i int) error {
			return c.only("STORE 1 %sFLAGS (\\Flagged)", sign(i))
		}); err != nil {
			return err
		}
		many := `\Seen \Answered \Flagged \Draft`
		for i := range 12 {
			many += fmt.Sprintf(" keyword%d", i)
		}
		if err := b.repeat("16 flags on one", b.counts.repeats, func(i int) error {
			return c.only("STORE 2 %sFLAGS (%s)", sign(i), many)
		}); err != nil {
			return err
		}
		if err := b.repeat("one flag on 1,000", b.counts.repeats, func(i int) error {
			return c.only("STORE 1:* %sFLAGS (\\Flagged)", sign(i))
		}); err != nil {
			return err
		}
		return b.repeat("one flag on 1,000, silent", b.counts.repeats, func(i int) error {
			return c.only("STORE 1:* %sFLAGS.SILENT (\\Flagged)", sign(i))
		})
	})
}

func refresh(ctx context.Context, b *bench) error {
	return b.inBig(ctx, func(c *client) error {
		for i := range 16 {
			if err := c.makeFolder(fmt.Sprintf("Folder %d", i)); err != nil {
				return err
			}
		}
		for _, command := range []string{"SELECT INBOX", "NOOP", "CHECK", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)", `LIST "" "*"`} {
			if err := b.repeat(command, b.counts.repeats, func(int) error { return c.only("%s", command) }); err != nil {
				return err
			}
		}
		return b.repeat("STATUS of 16 folders", b.counts.repeats, func(int) error {
			for i := range 16 {
				if err := c.only("STATUS \"Folder %d\" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)", i); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
