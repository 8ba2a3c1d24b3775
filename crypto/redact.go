package crypto

import (
	"fmt"
	"io"
	"log/slog"
)

// Secrets print as these under every verb. Formatter alone covers fmt; String is
// for callers of that method, LogValue and MarshalJSON for slog and JSON. There
// is no MarshalText and no MarshalBinary: other encoders (msgpack) would take
// them for the value and store a placeholder in place of a key.
const (
	hiddenKey      = "crypto.Key(secret)"
	hiddenServer   = "crypto.ServerKey(secret)"
	hiddenStore    = "crypto.StoreKey(secret)"
	hiddenDelivery = "crypto.DirectoryKey(secret)"
	hiddenFileKey  = "crypto.FileKey(secret)"
	hiddenIdentity = "crypto.Identity(secret)"
	hiddenToken    = "crypto.Token(secret)"
	hiddenBody     = "crypto.Body(secret)"
	hiddenBlock    = "crypto.BlockSecret(secret)"
)

// Format implements [fmt.Formatter] and prints a placeholder.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenKey) }

// String returns a placeholder.
func (Key) String() string { return hiddenKey }

// LogValue implements [slog.LogValuer] with a placeholder.
func (Key) LogValue() slog.Value { return slog.StringValue(hiddenKey) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenKey + `"`), nil }

// Format implements [fmt.Formatter] and prints a placeholder.
func (FileKey) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenFileKey) }

// String returns a placeholder.
func (FileKey) String() string { return hiddenFileKey }

// LogValue implements [slog.LogValuer] with a placeholder.
func (FileKey) LogValue() slog.Value { return slog.StringValue(hiddenFileKey) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (FileKey) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenFileKey + `"`), nil }

// Format implements [fmt.Formatter] and prints a placeholder.
func (*Identity) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenIdentity) }

// String returns a placeholder; [Identity.Export] returns the secret.
func (*Identity) String() string { return hiddenIdentity }

// LogValue implements [slog.LogValuer] with a placeholder.
func (*Identity) LogValue() slog.Value { return slog.StringValue(hiddenIdentity) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (*Identity) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenIdentity + `"`), nil }

// Format implements [fmt.Formatter] and prints a placeholder.
func (Token) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenToken) }

// String returns a placeholder; [Token.Export] returns the secret.
func (Token) String() string { return hiddenToken }

// LogValue implements [slog.LogValuer] with a placeholder.
func (Token) LogValue() slog.Value { return slog.StringValue(hiddenToken) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (Token) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenToken + `"`), nil }

// Format implements [fmt.Formatter] and prints a placeholder: a writer holds its
// key and up to a chunk of plaintext.
func (*BodyWriter) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenBody) }

func (*bodyReader) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenBody) }

// Format implements [fmt.Formatter] and prints a placeholder.
func (BlockSecret) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenBlock) }

// String returns a placeholder.
func (BlockSecret) String() string { return hiddenBlock }

// LogValue implements [slog.LogValuer] with a placeholder.
func (BlockSecret) LogValue() slog.Value { return slog.StringValue(hiddenBlock) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (BlockSecret) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenBlock + `"`), nil }

// Format implements [fmt.Formatter] and prints a placeholder.
func (ServerKey) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenServer) }

// String returns a placeholder.
func (ServerKey) String() string { return hiddenServer }

// LogValue implements [slog.LogValuer] with a placeholder.
func (ServerKey) LogValue() slog.Value { return slog.StringValue(hiddenServer) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (ServerKey) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenServer + `"`), nil }

// Format implements [fmt.Formatter] and prints a placeholder.
func (*StoreKey) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenStore) }

// String returns a placeholder.
func (*StoreKey) String() string { return hiddenStore }

// LogValue implements [slog.LogValuer] with a placeholder.
func (*StoreKey) LogValue() slog.Value { return slog.StringValue(hiddenStore) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (*StoreKey) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenStore + `"`), nil }

// Format implements [fmt.Formatter] and prints a placeholder.
func (DirectoryKey) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenDelivery) }

// String returns a placeholder.
func (DirectoryKey) String() string { return hiddenDelivery }

// LogValue implements [slog.LogValuer] with a placeholder.
func (DirectoryKey) LogValue() slog.Value { return slog.StringValue(hiddenDelivery) }

// MarshalJSON implements [encoding/json.Marshaler] with a placeholder.
func (DirectoryKey) MarshalJSON() ([]byte, error) { return []byte(`"` + hiddenDelivery + `"`), nil }
