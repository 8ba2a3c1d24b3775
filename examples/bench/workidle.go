package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

func idleWorkloads() []workload {
	return []workload{
		{name: "notify", about: "16 accounts IDLE and are told of a mail one by one", run: notify},
		{name: "idle", about: "Many connections IDLE", run: idle},
	}
}

// notify measures from the answer of who brought a mail to the line that tells
// of it.
func notify(ctx context.Context, b *bench) error {
	text := smallMail(0).text
	var sessions []*client
	defer func() { cut(sessions) }()
	for i := range b.counts.accounts {
		c, err := b.idleIn(ctx, i, "INBOX", i)
		if err != nil {
			return err
		}
		sessions = append(sessions, c)
	}
	appended, err := b.told(sessions, func(i int) error {
		a, err := b.account(i)
		if err != nil {
			return err
		}
		c, err := login(ctx, b.server, a, 0)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		return c.append("INBOX", text)
	})
	if err != nil {
		return err
	}
	b.spread("after OK of APPEND", appended)
	if b.server.lmtp() == "" {
		return nil
	}
	delivered, err := b.told(sessions, func(i int) error {
		a, err := b.account(i)
		if err != nil {
			return err
		}
		c, err := dialLMTP(ctx, b.server.lmtp())
		if err != nil {
			return err
		}
		defer c.conn.Close()
		return c.deliver(a.address(), text)
	})
	if err != nil {
		return err
	}
	b.spread("after 250 of LMTP", delivered)
	return nil
}

// told brings each account a mail and returns how much later its session was
// told: 0 if the line was there before the answer.
func (b *bench) told(sessions []*client, bring func(i int) error) ([]time.Duration, error) {
	var times []time.Duration
	for i, c := range sessions {
		var at time.Time
		var waiting sync.WaitGroup
		var told error
		waiting.Go(func() {
			told = c.waitFor(" EXISTS")
			at = time.Now()
		})
		err := bring(i)
		begin := time.Now()
		if err != nil {
			_ = c.conn.SetDeadline(begin) // nobody will tell it
		}
		waiting.Wait()
		if err := errors.Join(err, told); err != nil {
			return nil, err
		}
		times = append(times, max(at.Sub(begin), 0))
	}
	return times, nil
}

// idleIn opens a session that waits for news of a folder.
func (b *bench) idleIn(ctx context.Context, n int, folder string, from int) (*client, error) {
	a, err := b.account(n)
	if err != nil {
		return nil, err
	}
	c, err := login(ctx, b.server, a, from)
	if err != nil {
		return nil, err
	}
	if _, err = c.do("SELECT %s", quote(folder)); err == nil {
		err = c.idle()
	}
	if err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	return c, nil
}

func cut(sessions []*client) {
	for _, c := range sessions {
		if c != nil {
			_ = c.conn.Close()
		}
	}
}

func idle(ctx context.Context, b *bench) error {
	var errs []error
	for _, n := range b.counts.idle {
		// Memory that earlier work left unused would hide what sessions need.
		if err := b.cold(ctx); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := b.idleMany(ctx, n); err != nil {
			errs = append(errs, fmt.Errorf("%d connections: %w", n, err))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return errors.Join(append(errs, b.cold(ctx))...) // sessions that were cut take a while to end
}

// idleMany opens n connections, or as many as the server takes, looks at the server's memory and at its CPU time
// while nothing happens, and then brings one mail to a folder that some of the
// connections watch.
func (b *bench) idleMany(ctx context.Context, n int) error {
	watchers := min(b.counts.watchers, n)
	if err := b.idleFolders(ctx, n/watchers/b.counts.accounts+1); err != nil {
		return err
	}
	// Who brings the mail comes first: there may be no room for more.
	a, err := b.account(0)
	if err != nil {
		return err
	}
	bringer, err := login(ctx, b.server, a, 0)
	if err != nil {
		return err
	}
	defer bringer.conn.Close()
	memory := func() int64 {
		if b.server.pid() == 0 {
			return 0
		}
		m, _ := proportional(b.server.pid()) // 0 without the right to look
		return m
	}
	before := memory()
	sessions := make([]*client, n)
	defer func() { cut(sessions) }()
	begin := time.Now()
	refused := together(n, 32, func(i int) error {
		// Each group of watchers has an account and a folder: first all INBOXes.
		group := i / watchers
		folder := "INBOX"
		if f := group / b.counts.accounts; f > 0 {
			folder = idleFolder(f)
		}
		c, err := b.idleIn(ctx, group%b.counts.accounts, folder, i)
		sessions[i] = c
		return err
	})
	taken := float64(n - missing(sessions))
	if err := ctx.Err(); err != nil || missing(sessions[:watchers]) > 0 {
		return errors.Join(err, refused)
	}
	label := fmt.Sprintf("%d connections", n)
	if refused != nil {
		b.add(label+", taken by the server", taken, "")
	}
	b.add(label+", login and SELECT of each", float64(time.Since(begin))/1e6/taken, "ms")
	if before > 0 {
		b.add(label+", memory of each", float64(memory()-before)/1024/taken, "KB")
	}
	first := b.sampler.sample()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(b.counts.quiet) * time.Second):
	}
	if b.server.pid() != 0 {
		b.add(label+", CPU while nothing happens", (b.sampler.sample().CPU-first.CPU)*100/float64(b.counts.quiet), "%")
	}
	return b.tellAll(label, bringer, sessions[:watchers])
}

// missing returns how many sessions a server has refused.
func missing(sessions []*client) int {
	n := 0
	for _, c := range sessions {
		if c == nil {
			n++
		}
	}
	return n
}

func idleFolder(n int) string { return fmt.Sprintf("Idle %d", n) }

// idleFolders makes the folders that idle connections watch besides INBOX.
func (b *bench) idleFolders(ctx context.Context, n int) error {
	return together(b.counts.accounts, b.counts.accounts, func(i int) error {
		a, err := b.account(i)
		if err != nil {
			return err
		}
		c, err := login(ctx, b.server, a, i)
		if err != nil {
			return err
		}
		for f := 1; f < n; f++ {
			if err := c.makeFolder(idleFolder(f)); err != nil {
				return errors.Join(err, c.conn.Close())
			}
		}
		return c.close()
	})
}

// tellAll appends a mail to the folder of some idle sessions and waits until the
// last of them is told.
func (b *bench) tellAll(label string, bringer *client, sessions []*client) error {
	at := make([]time.Time, len(sessions))
	var waiting sync.WaitGroup
	errs := make([]error, len(sessions))
	for i, s := range sessions {
		waiting.Go(func() {
			errs[i] = s.waitFor(" EXISTS")
			at[i] = time.Now()
		})
	}
	err := bringer.append("INBOX", smallMail(0).text)
	begin := time.Now()
	if err != nil {
		for _, s := range sessions {
			_ = s.conn.SetDeadline(begin) // nobody will tell them
		}
	}
	waiting.Wait()
	if err := errors.Join(append(errs, err)...); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	last := slices.MaxFunc(at, time.Time.Compare)
	b.add(fmt.Sprintf("%s, %d of them told after", label, len(sessions)), max(float64(last.Sub(begin))/1e6, 0), "ms")
	return nil
}
