package server

import (
	"errors"
	"os"
	"time"
)

// phase says what the goroutine of a connection does.
type phase uint8

const (
	resting   phase = iota // waits for a command or the end of IDLE, of which nothing has come
	receiving              // waits for the rest of a command
	working                // executes a command
)

// longAgo is a deadline that ends a Read at once.
var longAgo = time.Unix(1, 0)

// setPhase begins a phase, in which reads may take d; 0 means as long as they do.
func (c *conn) setPhase(p phase, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.until = p, time.Time{}
	if d != 0 {
		c.until = time.Now().Add(d)
	}
	c.arm()
}

// rest begins the wait for a command or the end of IDLE.
func (c *conn) rest() { c.setPhase(resting, c.o.IdleTimeout) }

// receive gives reads d from now on: of the rest of a command, or if one is at work of
// its message.
func (c *conn) receive(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == resting {
		c.phase = receiving
	}
	c.until = time.Now().Add(d)
	c.arm()
}

// arm sets the read deadline of the socket. The caller holds mu.
func (c *conn) arm() {
	d := c.until
	if !c.loginBy.IsZero() && (d.IsZero() || c.loginBy.Before(d)) {
		d = c.loginBy
	}
	if c.interrupted() != nil || c.poked && c.phase == resting {
		d = longAgo
	}
	_ = c.raw.SetReadDeadline(d) // a connection that is closed already fails its Read
}

// interrupted returns why the server ends the connection, if it does so now. The caller
// holds mu.
func (c *conn) interrupted() error {
	switch {
	case c.evicted:
		return errEvicted
	case c.ending && c.phase != working:
		return errEnding
	}
	return nil
}

// setLoginBy sets the deadline before the login; the zero time means that there is
// none.
func (c *conn) setLoginBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loginBy = t
	c.arm()
}

// wake makes the goroutine notify the client when it waits for it next. It does not
// wait, and many calls may have the effect of one. Any goroutine may call it.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.poked {
		c.poked = true
		c.arm()
	}
}

// shutdown ends the connection as soon as the command at work is answered.
func (c *conn) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	c.arm()
}

// evict ends the connection, which has not logged in, also while a login is at work.
func (c *conn) evict() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evicted = true
	c.arm()
}

// cut ends the connection at once.
func (c *conn) cut() {
	c.cancel()
	_ = c.raw.Close()
}

// source is where the frame.Reader reads: the stream, before decompression.
type source struct{ c *conn }

// Read reads from the client. While the client rests it is notified when there is news.
func (s source) Read(p []byte) (int, error) {
	c := s.c
	for {
		if err := c.push(); err != nil {
			return 0, err
		}
		c.holdMemory()
		n, err := c.read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		news, err := c.expired()
		if err != nil {
			return 0, err
		}
		if news {
			if err := c.notifyClient(); err != nil {
				return 0, err
			}
		}
	}
}

// expired returns what a read that was ended by its deadline means.
func (c *conn) expired() (news bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.interrupted(); err != nil {
		return false, err
	}
	now := time.Now()
	if !c.until.IsZero() && !now.Before(c.until) || !c.loginBy.IsZero() && !now.Before(c.loginBy) {
		return false, os.ErrDeadlineExceeded
	}
	news = c.poked && c.phase == resting
	c.poked = c.poked && !news
	c.arm()
	return news, nil
}

// maxAhead is how much is read ahead of a command at work. A client that sends more
// without waiting is not watched any longer.
const maxAhead = 4096

// read reads from the stream, or what the watcher has read.
func (c *conn) read(p []byte) (int, error) {
	c.stopWatching()
	defer c.mayWatch()
	c.mu.Lock()
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		clear(c.ahead[:n]) // it may have been a password
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		c.mu.Unlock()
		return n, nil
	}
	err := c.aheadErr
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.stream.Read(p)
}

// mayWatch lets a watcher begin.
func (c *conn) mayWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
}

// watch reads ahead while a command is at work, to learn when the connection ends, and
// cancels the command then. It returns when the goroutine of the connection wants to
// read, or when enough was read.
func (c *conn) watch() {
	c.mu.Lock()
	if c.phase != working || c.reading || c.watching != nil || c.aheadErr != nil || len(c.ahead) >= maxAhead {
		c.mu.Unlock()
		return
	}
	done := make(chan struct{})
	c.watching = done
	_ = c.raw.SetReadDeadline(time.Time{})
	c.mu.Unlock()
	defer close(done)
	var block [512]byte
	for {
		n, err := c.stream.Read(block[:])
		c.mu.Lock()
		c.ahead = append(c.ahead, block[:n]...)
		enough := c.reading || len(c.ahead) >= maxAhead
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.aheadErr = err
			c.cancel()
		}
		c.mu.Unlock()
		if err != nil || enough {
			return
		}
	}
}

// stopWatching ends the watcher, if there is one, and keeps another from beginning until
// mayWatch.
func (c *conn) stopWatching() {
	c.mu.Lock()
	c.reading = true
	done := c.watching
	if done != nil {
		_ = c.raw.SetReadDeadline(longAgo)
	}
	c.mu.Unlock()
	if done == nil {
		return
	}
	<-done
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watching = nil
	c.arm()
}

// holdMemory notes what the connection holds of what was sent before its login.
func (c *conn) holdMemory() {
	if c.memory != nil {
		c.server.memory.set(c.memory, int64(c.frames.Held()))
	}
}

// releaseMemory notes that a command before the login is over. Nothing is noted after
// the login.
func (c *conn) releaseMemory() {
	if c.memory == nil {
		return
	}
	c.server.memory.set(c.memory, 0)
	if c.account != nil {
		c.memory = nil
	}
}
