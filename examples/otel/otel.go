// Package otel makes OpenTelemetry spans of what letterlock does.
//
//	hooks := observe.Hooks{Tracer: otel.Tracer{T: provider.Tracer("letterlock")}}
//	store, err := mailbox.Open(ctx, observeblob.Wrap(blobs, hooks), mailbox.Options{Observe: hooks})
//
// It is a module of its own, so that those who do not trace do not have
// OpenTelemetry among their dependencies. A span has a name from a fixed list and
// says whether it failed; no name, address or error's text is in it.
package otel

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/letterlock/letterlock/mailbox/observe"
)

// Tracer is an [observe.Tracer] that makes spans of T.
type Tracer struct{ T trace.Tracer }

var _ observe.Tracer = Tracer{}

// Start begins a span.
func (t Tracer) Start(ctx context.Context, operation string) (context.Context, func(failed bool)) {
	ctx, span := t.T.Start(ctx, operation)
	return ctx, func(failed bool) {
		if failed {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
