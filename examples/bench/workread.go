package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

func readWorkloads() []workload {
	return []workload{
		{name: "fetch", about: "FETCH of what is known about 1,000 mails", needs: []string{"fill"}, run: fetchKnown},
		{name: "body", about: "FETCH of the bodies of 1,000 mails (236 MB)", needs: []string{"fill"}, run: fetchBodies},
		{name: "search", about: "SEARCH in 1,000 mails (236 MB)", needs: []string{"fill"}, run: search},
	}
}

// cold starts the server anew, so that nothing is in its memory. What the system
// keeps of its files stays.
func (b *bench) cold(ctx context.Context) error {
	err := b.server.restart(ctx)
	if errors.Is(err, errSkipped) {
		fmt.Fprint(b.progress, "(not restarted) ")
		return nil
	}
	return err
}

func fetchKnown(ctx context.Context, b *bench) error {
	if err := b.cold(ctx); err != nil {
		return err
	}
	return b.inBig(ctx, func(c *client) error {
		for _, w := range []struct{ name, what string }{
			{"FULL, first time", "FULL"},
			{"FULL, again", "FULL"},
			{"ALL", "ALL"},
			{"BODYSTRUCTURE", "(BODYSTRUCTURE)"},
			{"header fields", "(BODY.PEEK[HEADER.FIELDS (FROM TO CC SUBJECT DATE MESSAGE-ID REFERENCES)])"},
			{"FLAGS", "(UID FLAGS)"},
		} {
			if err := b.phase(w.name, func() error { return b.expect(c, w.what) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// expect fetches something of all mails, and wants an answer for each.
func (b *bench) expect(c *client, what string) error {
	n, err := c.do("FETCH 1:* %s", what)
	if err == nil && n < b.counts.mails {
		err = fmt.Errorf("FETCH: %d answers for %d mails", n, b.counts.mails)
	}
	return err
}

func fetchBodies(ctx context.Context, b *bench) error {
	if err := b.cold(ctx); err != nil {
		return err
	}
	return b.inBig(ctx, func(c *client) error {
		if err := b.phase("first 2 KB of part 1", func() error { return b.expect(c, "(BODY.PEEK[1]<0.2048>)") }); err != nil {
			return err
		}
		c.bytes = 0
		if err := b.phase("BODY.PEEK[]", func() error { return b.expect(c, "(BODY.PEEK[])") }); err != nil {
			return err
		}
		b.add("BODY.PEEK[], bytes", float64(c.bytes)/1e6, "MB")
		if want := b.size(); c.bytes < want {
			return fmt.Errorf("%d bytes came of %d", c.bytes, want)
		}
		return nil
	})
}

// size returns the bytes of the mails in the big folder.
func (b *bench) size() int64 {
	var n int64
	for i := range b.counts.mails {
		n += int64(len(b.mails[i%len(b.mails)].text))
	}
	return n
}

func search(ctx context.Context, b *bench) error {
	if err := b.cold(ctx); err != nil {
		return err
	}
	return b.inBig(ctx, func(c *client) error {
		if err := b.phase("TEXT, first time", func() error { return b.searchText(c) }); err != nil {
			return err
		}
		if err := b.phase("TEXT, again", func() error { return b.searchText(c) }); err != nil {
			return err
		}
		for _, criteria := range []string{"UNSEEN", "SINCE 1-Jan-2024", "LARGER 100000", "FROM miller", "SUBJECT lunch", "HEADER In-Reply-To example.org"} {
			if err := b.repeat(criteria, b.counts.repeats, func(int) error { return c.only("UID SEARCH %s", criteria) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// searchText searches for the word that a fifth of the mails have.
func (b *bench) searchText(c *client) error {
	hits := 0
	_, err := c.each(func(line string) {
		if rest, ok := strings.CutPrefix(line, "* SEARCH"); ok {
			hits += len(strings.Fields(rest))
		}
	}, "SEARCH TEXT %s", needle)
	if err != nil {
		return err
	}
	b.add("TEXT, mails found", float64(hits), fmt.Sprintf("of %d", b.counts.mails/needleEvery))
	return nil
}
