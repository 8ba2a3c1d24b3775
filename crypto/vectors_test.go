package crypto_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

// The files in testdata were written once and must be read for ever: a change
// that needs -update is a change of the format.
var update = flag.Bool("update", false, "write new vectors to testdata")

// vectors is testdata/vectors.json. Its keys guard nothing but this test.
type vectors struct {
	Identity  string
	Recipient string
	Account   hexBytes

	IdentityKeys map[string]hexBytes // by label
	Key          hexBytes
	KeyKeys      map[string]hexBytes // by label

	Sealed struct{ Nonce, AD, Plaintext, Sealed hexBytes }
	Record struct{ Plaintext, Sealed hexBytes }

	Password struct {
		Password     string
		SlotKey      hexBytes
		Slot         hexBytes
		Default      crypto.PasswordParams
		DefaultKey   hexBytes
		DefaultSalt  hexBytes
		SlotUnixTime int64
	}
	Server struct {
		Key, Salt        hexBytes
		ID               hexBytes
		Record           hexBytes
		Directory, Names hexBytes
		Delivery         string   // text of the directory key
		Slot             hexBytes // opened by Password.Password
		MACMessage, MAC  hexBytes // under Directory
	}
	Token struct {
		Token string
		Label string
		Slot  hexBytes
	}
	Bodies []bodyVector
}

type bodyVector struct {
	File            string // in testdata
	Size            int64  // of the plaintext, which is pattern(Size)
	FileKey, Nonce  hexBytes
	Header          uint16
	PlaintextSHA256 hexBytes
}

type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

var vectorLabels = []string{"", "log", "page", "slot label", "ü"}

func vectorsFile() string { return filepath.Join("testdata", "vectors.json") }

// loadVectors reads the vectors; a test without them fails.
func loadVectors(t testing.TB) *vectors {
	t.Helper()
	b, err := os.ReadFile(vectorsFile())
	require.NoError(t, err)
	v := new(vectors)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(v))
	return v
}

func updateVectors(t *testing.T) {
	id := newIdentity(t)
	v := &vectors{Identity: id.Export(), Recipient: id.Recipient().String(), Account: hexBytes("vector account 1")}
	key := crypto.NewKey()
	v.Key = key.Bytes()
	v.IdentityKeys, v.KeyKeys = map[string]hexBytes{}, map[string]hexBytes{}
	for _, label := range vectorLabels {
		v.IdentityKeys[label] = id.Derive(label).Bytes()
		v.KeyKeys[label] = key.Derive(label).Bytes()
	}
	v.Sealed.Nonce, v.Sealed.AD, v.Sealed.Plaintext = crypto.NewKey().Bytes()[:24], hexBytes("associated"), hexBytes("plaintext")
	v.Sealed.Sealed = crypto.SealWith(key, nil, (*[24]byte)(v.Sealed.Nonce), v.Sealed.Plaintext, v.Sealed.AD)
	record, err := crypto.SealTo(id.Recipient(), []byte("a sealed record"))
	require.NoError(t, err)
	v.Record.Plaintext, v.Record.Sealed = hexBytes("a sealed record"), record
	updateSlots(t, v, id)
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 200000} {
		file, k := writeBody(t, id.Recipient(), pattern(size))
		sum := sha256.Sum256(pattern(size))
		name := fmt.Sprintf("body-%d.age", size)
		require.NoError(t, os.WriteFile(filepath.Join("testdata", name), file, 0o644))
		v.Bodies = append(v.Bodies, bodyVector{name, int64(size), k.File[:], k.Nonce[:], k.Header, sum[:]})
	}
	b, err := json.MarshalIndent(v, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(vectorsFile(), append(b, '\n'), 0o644))
	writeSeeds(t, v)
}

func updateSlots(t *testing.T, v *vectors, id *crypto.Identity) {
	account := [16]byte(v.Account)
	p := &v.Password
	p.Password = "correct horse battery staple"
	slot, err := crypto.NewPasswordSlot(t.Context(), id, account, []byte(p.Password), cheap, nil)
	require.NoError(t, err)
	key, err := slot.PasswordKey(t.Context(), crypto.Requester{}, []byte(p.Password), nil)
	require.NoError(t, err)
	p.SlotKey, p.Slot, p.SlotUnixTime = key.Bytes(), slot.Marshal(), slot.Created.Unix()
	p.Default, p.DefaultSalt = crypto.DefaultPasswordParams(), slot.Salt[:]
	key, err = crypto.DefaultPool().Key(t.Context(), crypto.Requester{}, []byte(p.Password), p.DefaultSalt, crypto.PasswordParams{})
	require.NoError(t, err)
	p.DefaultKey = key.Bytes()

	server := crypto.NewServerKey()
	v.Server.Key, err = hex.DecodeString(server.Export())
	require.NoError(t, err)
	v.Server.Salt = crypto.NewKey().Bytes()
	k := server.ForStore(v.Server.Salt)
	v.Server.ID, v.Server.Record, v.Server.Directory, v.Server.Names = k.ID[:], k.Record.Bytes(), k.Directory.Bytes(), k.Names.Bytes()
	v.Server.Delivery = k.ForDelivery().Export()
	slot, err = crypto.NewPasswordSlot(t.Context(), id, account, []byte(p.Password), cheap, nil, k)
	require.NoError(t, err)
	v.Server.Slot = slot.Marshal()
	v.Server.MACMessage = hexBytes("a message")
	mac := k.Directory.MAC(v.Server.MACMessage)
	v.Server.MAC = mac[:]

	v.Token.Label = "Zoë's phone"
	tokenSlot, token, err := crypto.NewTokenSlot(id, account, v.Token.Label)
	require.NoError(t, err)
	v.Token.Token, v.Token.Slot = token.Export(), tokenSlot.Marshal()
}

// writeSeeds writes one seed of each fuzz target; more are added by hand.
func writeSeeds(t *testing.T, v *vectors) {
	seed := func(target, name, value string) {
		dir := filepath.Join("testdata", "fuzz", target)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("go test fuzz v1\n"+value+"\n"), 0o644))
	}
	raw := func(b []byte) string { return fmt.Sprintf("[]byte(%q)", b) }
	text := func(s string) string { return fmt.Sprintf("string(%q)", s) }
	seed("FuzzParseSlot", "password", raw(v.Password.Slot))
	seed("FuzzParseSlot", "token", raw(v.Token.Slot))
	seed("FuzzParseSlot", "cut", raw(v.Token.Slot[:40]))
	seed("FuzzParseToken", "good", text(v.Token.Token))
	seed("FuzzParseToken", "typing-error", text(v.Token.Token[:87]+"a"))
	seed("FuzzParseToken", "password", text("llt1 is my password"))
	seed("FuzzParseIdentity", "good", text(v.Identity))
	seed("FuzzParseIdentity", "other-age-key", text("AGE-SECRET-KEY-1QQQQ"))
	seed("FuzzParseRecipient", "good", text(v.Recipient))
	seed("FuzzParseRecipient", "short", text("age1pq1qqqqqq"))
	seed("FuzzOpenSealed", "good", raw(v.Record.Sealed))
	seed("FuzzOpenSealed", "header-only", raw(v.Record.Sealed[:1643]))
	seed("FuzzOpenSealed", "junk", raw([]byte("age-encryption.org/v1\n-> X25519 x\n\n--- x\n")))
}

func TestVectorKeys(t *testing.T) {
	if *update {
		updateVectors(t)
	}
	v := loadVectors(t)
	id, err := crypto.ParseIdentity(v.Identity)
	require.NoError(t, err)
	assert.Equal(t, v.Identity, id.Export())
	assert.Equal(t, v.Recipient, id.Recipient().String())
	key, err := crypto.KeyFromBytes(v.Key)
	require.NoError(t, err)
	require.Len(t, v.IdentityKeys, len(vectorLabels))
	require.Len(t, v.KeyKeys, len(vectorLabels))
	for _, label := range vectorLabels {
		assert.Equal(t, []byte(v.IdentityKeys[label]), id.Derive(label).Bytes(), "%q", label)
		assert.Equal(t, []byte(v.KeyKeys[label]), key.Derive(label).Bytes(), "%q", label)
	}

	s := v.Sealed
	sealed := crypto.SealWith(key, nil, (*[24]byte)(s.Nonce), s.Plaintext, s.AD)
	assert.Equal(t, []byte(s.Sealed), sealed)
	got, err := key.Open(nil, s.Sealed, s.AD)
	require.NoError(t, err)
	assert.Equal(t, []byte(s.Plaintext), got)
	got, err = id.OpenSealed(v.Record.Sealed, 100)
	require.NoError(t, err)
	assert.Equal(t, []byte(v.Record.Plaintext), got)
}

func TestVectorSlots(t *testing.T) {
	v := loadVectors(t)
	account := [16]byte(v.Account)
	p := v.Password
	slot, err := crypto.ParseSlot(p.Slot)
	require.NoError(t, err)
	assert.Equal(t, []byte(p.Slot), slot.Marshal())
	assert.Equal(t, crypto.SlotPassword, slot.Kind)
	assert.Equal(t, cheap, slot.Params)
	assert.Equal(t, p.SlotUnixTime, slot.Created.Unix())
	id, err := slot.OpenPassword(t.Context(), crypto.Requester{}, account, []byte(p.Password), nil)
	require.NoError(t, err)
	assert.Equal(t, v.Identity, id.Export())
	key, err := crypto.KeyFromBytes(p.SlotKey)
	require.NoError(t, err)
	_, err = slot.OpenWithKey(account, key)
	require.NoError(t, err)
	key, err = crypto.DefaultPool().Key(t.Context(), crypto.Requester{}, []byte(p.Password), p.DefaultSalt, p.Default)
	require.NoError(t, err)
	assert.Equal(t, []byte(p.DefaultKey), key.Bytes())
	assert.Equal(t, p.Default, crypto.DefaultPasswordParams())

	slot, err = crypto.ParseSlot(v.Token.Slot)
	require.NoError(t, err)
	assert.Equal(t, []byte(v.Token.Slot), slot.Marshal())
	token, err := crypto.ParseToken([]byte(v.Token.Token))
	require.NoError(t, err)
	assert.Equal(t, slot.ID, token.Slot())
	id, err = slot.OpenToken(account, token)
	require.NoError(t, err)
	assert.Equal(t, v.Identity, id.Export())
	label, err := slot.Label(id)
	require.NoError(t, err)
	assert.Equal(t, v.Token.Label, label)
}

func TestVectorServerKey(t *testing.T) {
	v := loadVectors(t)
	server, err := crypto.ParseServerKey(hex.EncodeToString(v.Server.Key))
	require.NoError(t, err)
	k := server.ForStore(v.Server.Salt)
	assert.Equal(t, []byte(v.Server.ID), k.ID[:])
	assert.Equal(t, []byte(v.Server.Record), k.Record.Bytes())
	assert.Equal(t, []byte(v.Server.Directory), k.Directory.Bytes())
	assert.Equal(t, []byte(v.Server.Names), k.Names.Bytes())
	d, err := crypto.ParseDirectoryKey(v.Server.Delivery)
	require.NoError(t, err)
	assert.Equal(t, k.ID, d.ID)
	assert.True(t, k.Directory.Equal(d.Key))
	assert.True(t, k.Directory.CheckMAC(v.Server.MAC, v.Server.MACMessage))
	slot, err := crypto.ParseSlot(v.Server.Slot)
	require.NoError(t, err)
	assert.Equal(t, []byte(v.Server.Slot), slot.Marshal())
	other := crypto.NewServerKey().ForStore(v.Server.Salt)
	id, err := slot.OpenPassword(t.Context(), crypto.Requester{Recent: [16]byte(v.Account)}, [16]byte(v.Account), []byte(v.Password.Password), nil, other, k)
	require.NoError(t, err)
	assert.Equal(t, v.Identity, id.Export())
	for _, keys := range [][]*crypto.StoreKey{nil, {other}} {
		_, err = slot.OpenPassword(t.Context(), crypto.Requester{Recent: [16]byte(v.Account)}, [16]byte(v.Account), []byte(v.Password.Password), nil, keys...)
		assert.ErrorIs(t, err, crypto.ErrServerKey)
		assert.NotErrorIs(t, err, crypto.ErrWrongSecret)
	}
}

func TestVectorBodies(t *testing.T) {
	v := loadVectors(t)
	id, err := crypto.ParseIdentity(v.Identity)
	require.NoError(t, err)
	ageID, err := age.ParseHybridIdentity(v.Identity)
	require.NoError(t, err)
	require.Len(t, v.Bodies, 6)
	for _, b := range v.Bodies {
		file, err := os.ReadFile(filepath.Join("testdata", b.File))
		require.NoError(t, err)
		k := crypto.BodyKey{File: crypto.FileKey(b.FileKey), Nonce: [16]byte(b.Nonce), Header: b.Header}
		recovered, err := crypto.RecoverBodyKey(bytes.NewReader(file), id)
		require.NoError(t, err)
		assert.Equal(t, k, recovered)
		require.Equal(t, int64(len(file)), k.EncryptedSize(b.Size))
		got, err := readRange(t, k, file, b.Size, 0, -1)
		require.NoError(t, err)
		r, err := age.Decrypt(bytes.NewReader(file), ageID)
		require.NoError(t, err)
		byAge, err := io.ReadAll(r)
		require.NoError(t, err)
		for _, plaintext := range [][]byte{got, byAge, pattern(int(b.Size))} {
			sum := sha256.Sum256(plaintext)
			assert.Equal(t, []byte(b.PlaintextSHA256), sum[:], b.File)
		}
	}
}
