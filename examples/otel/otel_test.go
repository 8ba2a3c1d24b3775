package otel_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/examples/otel"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// A delivery is one trace: the writes of the body and of the entry are below it.
func TestDeliveryIsOneTrace(t *testing.T) {
	ctx := t.Context()
	record := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(record))
	hooks := observe.Hooks{Tracer: otel.Tracer{T: provider.Tracer("letterlock")}}
	s, err := mailbox.Open(ctx, observeblob.Wrap(memblob.New(), hooks), mailbox.Options{Observe: hooks})
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.CreateAccount(ctx, "canary@example.org", []byte("pw")))
	_, err = s.Login(ctx, "canary@example.org", []byte("wrong"))
	require.Error(t, err)
	mail := strings.NewReader("Subject: canary\r\n\r\nx\r\n")
	require.NoError(t, s.Deliver(ctx, []mailbox.Recipient{{Account: "canary@example.org"}}, mail)[0])

	spans := record.Ended()
	at := slices.IndexFunc(spans, func(s sdk.ReadOnlySpan) bool { return s.Name() == observe.SpanDeliver })
	require.GreaterOrEqual(t, at, 0)
	names := map[string]bool{}
	for _, s := range spans { // among those of what runs in the background
		if s.SpanContext().TraceID() == spans[at].SpanContext().TraceID() {
			require.NotEqual(t, codes.Error, s.Status().Code)
			names[s.Name()] = true
		}
	}
	require.True(t, names["store create body"])
	require.True(t, names["store create entry"])
	failed := 0
	for _, s := range spans {
		require.NotContains(t, s.Name(), "canary")
		require.Empty(t, s.Attributes())
		if s.Status().Code == codes.Error {
			require.Equal(t, observe.SpanLogin, s.Name())
			require.Empty(t, s.Status().Description)
			failed++
		}
	}
	require.Equal(t, 1, failed)
}
