package jitter_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/internal/jitter"
)

func TestDuration(t *testing.T) {
	for range 100 {
		d := jitter.Duration(t.Context(), 3)
		assert.True(t, 0 <= d && d < 3)
	}
	ctx := jitter.With(t.Context(), func(limit time.Duration) time.Duration { return limit - 1 })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
	defer cancel()
	assert.EqualValues(t, 6, jitter.Duration(ctx, 7), "what is derived from the context asks the source too")
}
