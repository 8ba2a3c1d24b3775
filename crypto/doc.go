// Package crypto holds every key, cipher and encrypted format of letterlock.
//
// There are two ways to encrypt, for the two parties there are:
//
//	whoever holds the account            whoever may only add mail
//	------------------------            -------------------------
//	Key.Seal, Key.Open                  SealTo, NewBodyWriter
//	XChaCha20-Poly1305 under a key      an age file to the account's
//	derived from the identity           post-quantum Recipient
//
// At the root of an account stands one [Identity]: an age key pair (ML-KEM-768
// with X25519). Its public half, the [Recipient], is all that a delivering
// process needs. Its secret half decrypts every body and, through
// [Identity.Derive], yields the symmetric keys of everything else. It is stored
// only wrapped, in a [Slot] for each password and each app [Token], as in LUKS:
// adding, changing or revoking one re-encrypts nothing.
//
//	password --argon2id (Pool)--> slot key --+
//	Token ------HKDF-----------> slot key --+--> Slot --> Identity --HKDF--> Key
//	Identity.Export, kept by its owner =====================^
//
// Message bodies and sealed records are plain age files: with an exported
// identity the stock age tool opens any of them. So that reading costs no
// public-key operation and a range costs one read of the source, a [BodyKey]
// kept beside the pointer to a body opens its 64 KiB chunks directly.
//
// What is promised: whoever lacks the secret learns only the length of what was
// sealed, and any change of sealed bytes, of their associated data, of a slot's
// account or of the order and number of a body's chunks is an error, never other
// plaintext. Values that are secret print as a placeholder under every verb of
// fmt, in log/slog and in JSON, and no error of this package holds a secret, a
// plaintext or a label.
//
// What is not: an AEAD does not show that sealed bytes are the newest ones, and
// anyone can seal something new to a Recipient; package eventlog gives order and
// says what may arrive sealed. Memory is not locked, and Go may have copied a
// secret before [Identity.Wipe] overwrites it. Password strength is the
// caller's affair, as is normalising passwords before they get here (RFC 8265);
// they are bytes to this package.
//
// The byte layouts are in docs/format-crypto.md. Start reading with key.go, then
// identity.go, body.go and slot.go.
package crypto
