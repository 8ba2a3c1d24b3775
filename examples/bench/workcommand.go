package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func commandWorkloads() []workload {
	return []workload{{name: "commands", about: "What real clients send, one of each", needs: []string{"append"}, run: replay}}
}

// replay sends each of the commands that real clients were seen to send. One that
// is refused is listed; whether it should be is for the reader to judge.
func replay(ctx context.Context, b *bench) error {
	a, err := b.account(0)
	if err != nil {
		return err
	}
	c, err := b.replaySession(ctx, a)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }() // of the last session: LOGOUT is among the commands
	counts := map[string]int{}
	var times []time.Duration
	for _, command := range clientCommands {
		begin := time.Now()
		err := b.replayOne(ctx, c, command, a)
		times = append(times, time.Since(begin))
		refused := new(refusedError)
		switch {
		case err == nil:
			counts["answered OK"]++
		case errors.As(err, &refused):
			b.result.Refused = append(b.result.Refused, fmt.Sprintf("%s: %s", command, refused.answer))
			counts["refused"]++
		default:
			return fmt.Errorf("%s: %w", command, err)
		}
		if needsSession(command) {
			_ = c.conn.Close()
			if c, err = b.replaySession(ctx, a); err != nil {
				return err
			}
		}
	}
	for _, k := range []string{"answered OK", "refused"} {
		b.add(k, float64(counts[k]), fmt.Sprintf("of %d", len(clientCommands)))
	}
	b.spread("each", times)
	return nil
}

// replaySession logs in and selects a folder of mails, with all the folders there
// that the commands name.
func (b *bench) replaySession(ctx context.Context, a account) (*client, error) {
	c, err := login(ctx, b.server, a, 0)
	if err != nil {
		return nil, err
	}
	for _, folder := range replayFolders {
		if err := c.makeFolder(folder); err != nil {
			return nil, errors.Join(err, c.conn.Close())
		}
	}
	if err := c.only("SELECT Sequential"); err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	return c, nil
}

// needsSession reports whether nothing is selected, or something else is, after a
// command.
func needsSession(command string) bool {
	verb, _, _ := strings.Cut(command, " ")
	return slices.Contains([]string{"LOGOUT", "CLOSE", "UNSELECT", "SELECT", "EXAMINE"}, verb)
}

// replayOne sends a command, which for LOGIN takes a connection of its own.
func (b *bench) replayOne(ctx context.Context, c *client, command string, a account) error {
	verb, rest, _ := strings.Cut(command, " ")
	switch verb {
	case "IDLE":
		if err := c.idle(); err != nil {
			return err
		}
		return c.done()
	case "APPEND":
		text := smallMail(0).text
		if err := c.send("APPEND %s {%d+}\r\n%s", rest, len(text), text); err != nil {
			return err
		}
		_, err := c.answer(nil, "APPEND")
		return err
	case "LOGIN":
		fresh, err := dial(ctx, b.server.imap(), 0)
		if err != nil {
			return err
		}
		defer fresh.conn.Close()
		if rest == "quoted" {
			return fresh.only("LOGIN %s %s", quote(a.name), quote(a.password))
		}
		return fresh.only("LOGIN %s %s", a.name, quote(a.password))
	}
	return c.only("%s", command)
}
