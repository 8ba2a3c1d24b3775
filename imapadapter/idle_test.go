package imapadapter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// IDLE that ends in anything but DONE leaves Idle running while the engine starts the
// next command. The session must not be in two places at once (run it with -race), and
// what the client sees must be whole lines with every change in them.
func TestIdleLeftBehind(t *testing.T) {
	const n = 20
	w := newWorld(t, nil)
	w.bare = true
	w.fill("INBOX", n)
	p, other := w.enter("INBOX"), w.enter("INBOX")
	flags := map[string]string{} // number to what the client last saw
	see := func(lines []string) {
		for _, line := range lines {
			at, list, ok := strings.Cut(strings.TrimPrefix(line, "* "), " FETCH (")
			if strings.HasPrefix(line, "+ ") || strings.HasPrefix(line, "* FLAGS (") {
				continue
			}
			require.True(t, ok, line)
			_, list, ok = strings.Cut(list, "FLAGS (")
			require.True(t, ok && strings.HasSuffix(list, "))"), line)
			flags[at] = strings.TrimSuffix(list, "))")
		}
	}
	for i := range 100 {
		p.send(fmt.Sprintf("i%d IDLE\r\nnot DONE\r\nn%d NOOP\r\n", i, i))
		other.ok(fmt.Sprintf("STORE %d FLAGS.SILENT ($%d)", 1+i%n, i%7))
		lines, answer := p.until(fmt.Sprintf("i%d ", i))
		require.True(t, strings.HasPrefix(answer, "BAD "), answer)
		see(lines)
		lines, answer = p.until(fmt.Sprintf("n%d ", i))
		require.True(t, strings.HasPrefix(answer, "OK "), answer)
		see(lines)
	}
	see(p.ok("NOOP"))
	for i := 100 - n; i < 100; i++ {
		require.Contains(t, flags[fmt.Sprint(1+i%n)], fmt.Sprintf("$%d", i%7))
	}
	p.send("z IDLE\r\n")
	require.NoError(t, p.c.Close())
}
