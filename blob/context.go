package blob

import "context"

type contextKey int

const (
	freshKey contextKey = iota
	freeingKey
)

// Fresh returns a context under which Open reads an object from where it is kept
// and not from a cache. A reader uses it once when the bytes that it got do not
// decrypt: they may have been damaged on their way, and a cache may have kept
// them so. Only stores that cache have to look at it.
func Fresh(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshKey, true)
}

// IsFresh reports whether ctx is one of [Fresh].
func IsFresh(ctx context.Context) bool { return ctx.Value(freshKey) != nil }

// Freeing returns a context for changes that free space: an expunge, the removal
// of an account, a garbage collection. A store that keeps a reserve lets them use
// it when its disk is full. What is created under it should be small, at most
// 1 MiB. Other stores ignore it.
func Freeing(ctx context.Context) context.Context {
	return context.WithValue(ctx, freeingKey, true)
}

// IsFreeing reports whether ctx is one of [Freeing].
func IsFreeing(ctx context.Context) bool { return ctx.Value(freeingKey) != nil }
