// Package jitter is the random part of a delay. Writers that conflict wait random
// times, so that they do not conflict again. A simulation that must be repeatable
// puts a source of its own into the context.
package jitter

import (
	"context"
	"math/rand/v2"
	"time"
)

type key struct{}

// With returns a context whose calls of [Duration] ask source, which returns a
// duration from 0 up to its argument, without that.
func With(ctx context.Context, source func(time.Duration) time.Duration) context.Context {
	return context.WithValue(ctx, key{}, source)
}

// Duration returns a random duration from 0 up to limit, without that. limit must
// be positive.
func Duration(ctx context.Context, limit time.Duration) time.Duration {
	if source, ok := ctx.Value(key{}).(func(time.Duration) time.Duration); ok {
		return source(limit)
	}
	return rand.N(limit)
}
