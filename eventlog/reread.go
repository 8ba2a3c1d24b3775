package eventlog

import (
	"bytes"
	"context"

	"github.com/letterlock/letterlock/blob"
)

// openTwice opens the bytes of an object. If that fails it reads the object once
// more, from where it is kept and not from a cache, and opens what it got then:
// the first bytes may have been damaged on their way. Only what fails twice is
// damaged where it is kept.
func openTwice[T any](ctx context.Context, l *Log, name string, data []byte, open func(data []byte) (T, error)) (T, error) {
	v, err := open(data)
	if err == nil {
		return v, nil
	}
	again, readErr := l.read(blob.Fresh(ctx), name, 0, max(maxObject, maxSnapshot, MaxEntry)+1)
	if readErr != nil || bytes.Equal(again, data) {
		return v, err
	}
	return open(again)
}
