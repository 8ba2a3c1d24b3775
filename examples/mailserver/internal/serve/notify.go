package serve

import (
	"log/slog"
	"net"
	"os"
	"strings"
)

// notify tells the service manager, if it started this process and wants to know,
// how far the process is: sd_notify(3).
func notify(logger *slog.Logger, state string) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	if name, ok := strings.CutPrefix(address, "@"); ok {
		address = "\x00" + name // Linux's abstract sockets
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(state))
		_ = c.Close()
	}
	if err != nil {
		logger.Warn("the service manager could not be notified", "state", state, "error", err)
	}
}
