package main

import (
	"context"
	"errors"
)

func appendWorkloads() []workload {
	return []workload{
		{name: "append", about: "APPEND of 100 mails (23 MB) to each of 16 accounts", run: appendMails},
		{name: "lmtp", about: "LMTP of 100 mails (23 MB) to each of 16 accounts", run: deliverMails},
		{name: "fill", about: "APPEND of 1,000 mails (236 MB) to one account", run: fillBig},
	}
}

// appendMails appends the set to accounts one after the other, and then at once.
// The sessions are there before: what logging in costs has its own workload.
func appendMails(ctx context.Context, b *bench) error {
	n := b.counts.accounts
	sessions := make([]*client, n)
	defer func() { cut(sessions) }()
	if err := together(n, 2, func(i int) error {
		a, err := b.account(i)
		if err != nil {
			return err
		}
		if sessions[i], err = login(ctx, b.server, a, 0); err != nil {
			return err
		}
		return errors.Join(sessions[i].makeFolder("Sequential"), sessions[i].makeFolder("Parallel"))
	}); err != nil {
		return err
	}
	one := func(i int, folder string) error {
		for _, m := range b.mails {
			if err := sessions[i].append(folder, m.text); err != nil {
				return err
			}
		}
		return nil
	}
	if err := b.phase("one after the other", func() error {
		return together(n, 1, func(i int) error { return one(i, "Sequential") })
	}); err != nil {
		return err
	}
	return b.phase("all at once", func() error {
		return together(n, n, func(i int) error { return one(i, "Parallel") })
	})
}

func deliverMails(ctx context.Context, b *bench) error {
	if b.server.lmtp() == "" {
		return skipf("no LMTP address")
	}
	one := func(i int) error {
		a, err := b.account(i)
		if err != nil {
			return err
		}
		c, err := dialLMTP(ctx, b.server.lmtp())
		if err != nil {
			return err
		}
		for _, m := range b.mails {
			if err := c.deliver(a.address(), m.text); err != nil {
				return errors.Join(err, c.conn.Close())
			}
		}
		return c.close()
	}
	n := b.counts.accounts
	if err := b.phase("one after the other", func() error { return together(n, 1, one) }); err != nil {
		return err
	}
	return b.phase("all at once", func() error { return together(n, n, one) })
}

// fillBig puts the set into one INBOX as often as it takes to have the mails that
// others workloads copy, read and search.
func fillBig(ctx context.Context, b *bench) error {
	c, err := b.big(ctx)
	if err != nil {
		return err
	}
	err = b.phase("one session", func() error {
		for i := range b.counts.mails {
			if err := c.append("INBOX", b.mails[i%len(b.mails)].text); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, c.close())
}
