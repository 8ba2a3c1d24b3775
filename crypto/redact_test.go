package crypto_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

// disguises returns the ways in which fmt, slog and JSON show bytes.
func disguises(secret []byte) []string {
	bytesOf := strings.Trim(fmt.Sprint(secret), "[]")
	var goSyntax []string
	for _, b := range secret {
		goSyntax = append(goSyntax, fmt.Sprintf("%#x", b))
	}
	return []string{
		string(secret),
		bytesOf,
		strings.ReplaceAll(bytesOf, " ", ","),
		strings.Join(goSyntax, ", "),
		hex.EncodeToString(secret),
		strings.ToUpper(hex.EncodeToString(secret)),
		base64.StdEncoding.EncodeToString(secret),
		strings.Trim(fmt.Sprintf("%o", secret), "[]"),
		strings.Trim(fmt.Sprintf("%b", secret), "[]"),
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	id := newIdentity(t)
	key := crypto.NewKey()
	_, token, err := crypto.NewTokenSlot(id, [16]byte{}, "")
	require.NoError(t, err)
	var file crypto.FileKey
	copy(file[:], crypto.NewKey().Bytes())
	var dst bytes.Buffer
	w, err := crypto.NewBodyWriter(&dst, id.Recipient())
	require.NoError(t, err)
	plaintext := "plaintext that waits for its chunk"
	_, err = w.Write([]byte(plaintext))
	require.NoError(t, err)
	writerFile := w.Key().File
	require.NoError(t, w.Close())
	body := dst.Bytes()[w.Key().Header+16:]
	r, err := w.Key().NewReader(bytes.NewReader(body), w.Size(), 0, -1)
	require.NoError(t, err)
	_, err = r.Read(make([]byte, 1))
	require.NoError(t, err)

	// What follows llt1 and the public slot is secret: from character 31 on.
	tokenSecret := token.Export()[31:]
	secret, seed := crypto.TokenSecret(token), crypto.IdentitySeed(id)
	server := crypto.NewServerKey()
	serverBytes, err := hex.DecodeString(server.Export())
	require.NoError(t, err)
	store := server.ForStore(make([]byte, 32))
	var storeSecrets []string
	for _, k := range []crypto.Key{store.Record, store.Directory, store.Names, crypto.Pepper(store)} {
		storeSecrets = append(storeSecrets, disguises(k.Bytes())...)
	}
	for _, c := range []struct {
		name    string
		value   any
		secrets []string
	}{
		{"Key", key, disguises(key.Bytes())},
		{"pointer to Key", &key, disguises(key.Bytes())},
		{"FileKey", file, disguises(file[:])},
		{"BodyKey", crypto.BodyKey{File: file}, disguises(file[:])},
		{"pointer to BodyKey", &crypto.BodyKey{File: file}, disguises(file[:])},
		{"Identity", id, append(disguises([]byte(id.Export())), disguises(seed)...)},
		{"Token", token, append(disguises(secret), token.Export(), tokenSecret)},
		{"ServerKey", server, append(disguises(serverBytes), server.Export())},
		{"StoreKey", store, storeSecrets},
		{"StoreKey by value", *store, storeSecrets},
		{"DirectoryKey", store.ForDelivery(), append(disguises(store.Directory.Bytes()), store.ForDelivery().Export())},
		{"BodyWriter", w, disguises(writerFile[:])},
		{"reader", r, disguises([]byte(plaintext[1:]))},
		{"exported field", struct {
			Key      crypto.Key
			Identity *crypto.Identity
			Token    crypto.Token
		}{key, id, token}, append(append(disguises(key.Bytes()), id.Export()), tokenSecret)},
		{"unexported field", struct {
			key   crypto.Key
			id    *crypto.Identity
			token crypto.Token
			more  []crypto.Key
			w     io.WriteCloser
			r     io.Reader
		}{key, id, token, []crypto.Key{key}, w, r}, slices.Concat(disguises(key.Bytes()), disguises(seed),
			disguises(writerFile[:]), disguises([]byte(plaintext[1:])), disguises(secret), []string{id.Export(), tokenSecret})},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, printed := range prints(t, c.value) {
				require.NotEmpty(t, printed, how)
				for _, secret := range c.secrets {
					require.NotEmpty(t, secret)
					assert.NotContains(t, printed, secret, how)
				}
			}
		})
	}
}

func prints(t *testing.T, v any) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%T"} {
		all[verb] = fmt.Sprintf(verb, v)
	}
	all["error"] = fmt.Errorf("wrapped: %v", v).Error()
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	all["slog text"], all["slog JSON"] = text.String(), js.String()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	all["JSON"] = string(b)
	return all
}

func TestSecretsPrintAsPlaceholder(t *testing.T) {
	id := newIdentity(t)
	_, token, err := crypto.NewTokenSlot(id, [16]byte{}, "")
	require.NoError(t, err)
	server := crypto.NewServerKey()
	for _, v := range []fmt.Stringer{crypto.NewKey(), crypto.FileKey{1}, id, token, server, server.ForStore(nil), server.ForStore(nil).ForDelivery()} {
		for how, printed := range prints(t, v) {
			if how != "%T" {
				assert.Contains(t, printed, "(secret)", "%T %s", v, how)
			}
		}
		assert.Contains(t, v.String(), "(secret)", "%T", v)
	}
}
