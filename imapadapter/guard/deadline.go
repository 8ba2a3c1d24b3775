package guard

import "time"

// The read deadline of the socket is the earliest of three: the engine's, which
// it sets for each wait; the guard's own for the phase that it is in; and the
// time by which a client must have logged in.

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the engine's read deadline. While a message is coming in,
// a deadline in the future is put off by the time that a slow client may take
// for a message of that length: the engine allows five minutes for any. A client
// that does not go on at all is cut off by the guard's own deadline.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grace > 0 && t.After(time.Now()) {
		t = t.Add(c.grace)
	}
	c.engine = t
	return c.applyReadDeadline()
}

// SetWriteDeadline sets the deadline of writes.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

// setPhase gives the guard's own wait d from now on.
func (c *conn) setPhase(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = time.Now().Add(d)
	// A connection that is closed already fails the read that follows.
	_ = c.applyReadDeadline()
}

// await begins the wait for a command or the end of IDLE.
func (c *conn) await() { c.setPhase(c.o.IdleTimeout) }

// applyReadDeadline sets the earliest deadline. The caller holds mu.
func (c *conn) applyReadDeadline() error {
	d := c.engine
	for _, t := range []time.Time{c.phase, c.loginBy} {
		if !t.IsZero() && (d.IsZero() || t.Before(d)) {
			d = t
		}
	}
	return c.raw.SetReadDeadline(d)
}
