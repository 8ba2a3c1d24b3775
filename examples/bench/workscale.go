package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func scaleWorkloads() []workload {
	return []workload{{name: "scale", about: "Folders of more and more messages", run: scale}}
}

// scaleBatch is how many messages the largest folders grow by at a time.
const scaleBatch = 100_000

// scale makes folders of growing numbers of messages, each by copies of the one
// before, and measures what a client does in each.
func scale(ctx context.Context, b *bench) error {
	a, err := b.account(b.counts.accounts + 1)
	if err != nil {
		return err
	}
	c, err := login(ctx, b.server, a, 0)
	if err != nil {
		return err
	}
	const seeds = 100
	if err := c.makeFolder(scaleFolder(seeds)); err != nil {
		return errors.Join(err, c.conn.Close())
	}
	for i := range seeds {
		if err := c.append(scaleFolder(seeds), smallMail(i).text); err != nil {
			return errors.Join(err, c.conn.Close())
		}
	}
	if err := c.close(); err != nil {
		return err
	}
	from := seeds
	for _, n := range b.counts.scale {
		if err := b.grow(ctx, a, from, n); err != nil {
			return fmt.Errorf("%d messages: %w", n, err)
		}
		if err := b.scaled(ctx, a, n); err != nil {
			return fmt.Errorf("%d messages: %w", n, err)
		}
		from = n
	}
	return nil
}

func scaleFolder(n int) string { return fmt.Sprintf("Of %d", n) }

// grow fills a folder of n messages with copies of one that has from.
func (b *bench) grow(ctx context.Context, a account, from, n int) error {
	c, err := login(ctx, b.server, a, 0)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.makeFolder(scaleFolder(n)); err != nil {
		return err
	}
	if n == from {
		return nil
	}
	if _, err := c.do("SELECT %s", quote(scaleFolder(from))); err != nil {
		return err
	}
	return b.phase(fmt.Sprintf("%d: fill by COPY", n), func() error {
		for left := n; left > 0; {
			batch := min(left, from, scaleBatch)
			if err := c.only("COPY 1:%d %s", batch, quote(scaleFolder(n))); err != nil {
				return err
			}
			left -= batch
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// scaled measures what a client does in a folder of n messages.
func (b *bench) scaled(ctx context.Context, a account, n int) error {
	if err := b.cold(ctx); err != nil {
		return err
	}
	folder := quote(scaleFolder(n))
	var c *client
	if err := b.phase(fmt.Sprintf("%d: login and SELECT, cold", n), func() (err error) {
		if c, err = login(ctx, b.server, a, 0); err != nil {
			return err
		}
		return c.only("SELECT %s", folder)
	}); err != nil {
		return err
	}
	defer c.conn.Close()
	text := smallMail(0).text
	for _, step := range []struct {
		name string
		do   func(i int) error
	}{
		{"SELECT, warm", func(int) error { return c.only("SELECT %s", folder) }},
		{"STORE", func(i int) error { return c.only("STORE %d +FLAGS.SILENT (\\Seen)", n/2+i) }},
		{"APPEND", func(int) error { return c.append(scaleFolder(n), text) }},
	} {
		if err := b.repeat(fmt.Sprintf("%d: %s", n, step.name), b.counts.repeats, step.do); err != nil {
			return err
		}
	}
	begin := time.Now()
	if err := c.close(); err != nil {
		return err
	}
	b.add(fmt.Sprintf("%d: LOGOUT", n), float64(time.Since(begin))/1e6, "ms")
	return nil
}
