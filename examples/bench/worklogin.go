package main

import "context"

func loginWorkloads() []workload {
	return []workload{{name: "login", about: "100 logins: cold, warm, by token; and polling clients", run: logins}}
}

func logins(ctx context.Context, b *bench) error {
	all := b.server.accounts()
	if err := b.cold(ctx); err != nil {
		return err
	}
	last := all[len(all)-1]
	once := func(a account) error {
		c, err := login(ctx, b.server, byPassword(a), 0)
		if err != nil {
			return err
		}
		return c.conn.Close()
	}
	// The last account's password is hashed on every server.
	if err := b.repeat("cold, the process's first", 1, func(int) error { return once(last) }); err != nil {
		return err
	}
	if err := b.phase("warm, all of them", func() error { return b.login(ctx, "warm", byPassword(last)) }); err != nil {
		return err
	}
	if err := b.phase("cold, all of them", func() error {
		return b.repeat("each of another account", min(b.counts.logins, len(all)), func(i int) error { return once(all[i]) })
	}); err != nil {
		return err
	}
	if all[0].token != "" {
		if err := b.login(ctx, "by token", all[0]); err != nil {
			return err
		}
	}
	return b.repeat("poll: LOGIN, SELECT, LOGOUT", b.counts.logins, func(int) error {
		c, err := login(ctx, b.server, byPassword(all[0]), 0)
		if err != nil {
			return err
		}
		if _, err := c.do("SELECT INBOX"); err != nil {
			return err
		}
		return c.close()
	})
}

// login times LOGIN on connections that are there, each closed before the next, so
// that none finds the account open.
func (b *bench) login(ctx context.Context, name string, a account) error {
	clients := make([]*client, b.counts.logins)
	defer func() { cut(clients) }()
	for i := range clients {
		var err error
		if clients[i], err = dial(ctx, b.server.imap(), 0); err != nil {
			return err
		}
	}
	return b.repeat(name, len(clients), func(i int) error {
		if err := clients[i].login(a); err != nil {
			return err
		}
		return clients[i].conn.Close()
	})
}

// byPassword returns an account that logs in by nothing else.
func byPassword(a account) account { return account{name: a.name, password: a.password} }
