package mailbox

import (
	"strings"

	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// Cacheable reports whether an object may be served from a cache that does not notice
// deletes, such as package cacheblob: bodies and packs may. Their names
// are random, and nobody asks for one that no state points to. The log must be read as
// it is, whose end decides who writes next; and so must slots, where a token that was
// revoked has to be gone, names and keys.
func Cacheable(name string) bool {
	rest, ok := strings.CutPrefix(name, layout.AccountFolder)
	if !ok {
		return false
	}
	_, rest, _ = strings.Cut(rest, "/")
	switch layout.FolderOf(rest) {
	case layout.BodyFolder, layout.PackFolder:
		return true
	}
	return false
}
