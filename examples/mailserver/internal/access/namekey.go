package access

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/letterlock/letterlock/crypto"
)

// NameKeyHelp explains -name-key to those whose command makes the file.
const NameKeyHelp = `The store knows accounts only by a salted hash of their names. So that
"account list" can list them, the names are also kept encrypted, under a key
in a file beside the store: the folder's name + .namekey, or what -name-key
says. The first "account add" or "serve" makes it. Do not copy it to where
the store is copied; without it all works but the list.`

// key reads the name key, and makes one if mode allows. Who only looks does
// without one that is not there or not theirs to read.
func (f *Flags) key(mode Mode) (crypto.Key, error) {
	text, err := os.ReadFile(f.nameKey)
	if !mode.creates() && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return crypto.Key{}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := createNameKey(f.nameKey); err != nil {
			return crypto.Key{}, fmt.Errorf("make name key %s (-name-key names another place): %w", f.nameKey, cause(err))
		}
		text, err = os.ReadFile(f.nameKey)
	}
	if err != nil {
		return crypto.Key{}, fmt.Errorf("name key: %w", err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err == nil {
		var key crypto.Key
		if key, err = crypto.KeyFromBytes(b); err == nil {
			return key, nil
		}
	}
	return crypto.Key{}, fmt.Errorf("name key %s: want 64 hexadecimal digits", f.nameKey)
}

// createNameKey writes a random key. Of processes that begin together one wins.
func createNameKey(file string) error {
	key := make([]byte, 32)
	rand.Read(key)
	err := CreateFile(file, hex.EncodeToString(key)+"\n")
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// CreateFile creates a file of one's own that appears whole, and fails with
// fs.ErrExist if there is one.
func CreateFile(file, text string) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.WriteString(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Link(temp.Name(), file)
}
