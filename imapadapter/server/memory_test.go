package server

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestLoginMemoryForgets has a connection that is closed for what it holds go on to hold
// more until it has noticed: nobody else is closed for that.
func TestLoginMemoryForgets(t *testing.T) {
	s := &Server{o: &Options{}}
	s.memory.limit = 10
	conns := make([]*conn, 2)
	for i := range conns {
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		conns[i] = newConn(s, here, netip.Addr{})
		defer conns[i].cancel()
	}
	first, second := conns[0], conns[1]
	s.memory.set(first.memory, 8)
	s.memory.set(second.memory, 8)
	assert.True(t, first.evicted)
	s.memory.set(first.memory, 9)
	assert.False(t, second.evicted)
	assert.EqualValues(t, 8, s.memory.total)
	s.memory.set(first.memory, 0)
	s.memory.set(second.memory, 0)
	assert.Zero(t, s.memory.total)
	assert.Zero(t, s.memory.holders.Len())
}
