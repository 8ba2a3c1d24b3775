package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

// ServerKeyHelp explains -server-key to those whose command makes the file.
const ServerKeyHelp = `A store is used with a server key, which lies in a file beside it: the folder's
name + .serverkey, or what -server-key says. Whoever makes the store makes it; all
servers of the store need the same. With it nobody who can write the store can
forge mail or lead it elsewhere, "account list" lists names, and who has a copy of
the store cannot test passwords. Keep a copy, but never beside a copy of the store:
without it no password opens an account, app tokens and recovery identities do
("key -h" tells more).`

// key reads the server key, and makes one for a store that is new. who only looks
// does without one that is not there or not theirs to read.
func (f *Flags) key(mode Mode, isNew bool) (key crypto.ServerKey, without bool, err error) {
	text, err := os.ReadFile(f.serverKey)
	if mode == Read && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return key, true, nil
	}
	if errors.Is(err, fs.ErrNotExist) && !isNew {
		return key, false, nil // a store that has one does not open so
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := CreateServerKey(f.serverKey); err != nil {
			return key, false, fmt.Errorf("make server key %s (-server-key names another place): %w", f.serverKey, cause(err))
		}
		text, err = os.ReadFile(f.serverKey)
	}
	if err != nil {
		return key, false, fmt.Errorf("server key: %w", err)
	}
	key, err = parseServerKey(f.serverKey, text)
	return key, false, err
}

func parseServerKey(file string, text []byte) (crypto.ServerKey, error) {
	key, err := crypto.ParseServerKey(strings.TrimSpace(string(text)))
	if err != nil {
		err = fmt.Errorf("server key %s: want 64 hexadecimal digits", file)
	}
	return key, err
}

// otherKey reads the second server key of those that are being replaced.
func (f *Flags) otherKey() (crypto.ServerKey, error) {
	if f.otherServerKey == "" {
		return crypto.ServerKey{}, nil
	}
	text, err := os.ReadFile(f.otherServerKey)
	if err != nil {
		return crypto.ServerKey{}, fmt.Errorf("server key: %w", err)
	}
	return parseServerKey(f.otherServerKey, text)
}

// delivery reads the part of the server key that a process which only delivers has.
func (f *Flags) delivery() (crypto.DirectoryKey, error) {
	text, err := os.ReadFile(f.deliveryKey)
	if err != nil {
		return crypto.DirectoryKey{}, fmt.Errorf("delivery key: %w", err)
	}
	key, err := crypto.ParseDirectoryKey(strings.TrimSpace(string(text)))
	if err != nil {
		return key, fmt.Errorf("delivery key %s: %w", f.deliveryKey, err)
	}
	return key, nil
}

// keys completes what the store is opened with.
func (f *Flags) keys(mode Mode, isNew bool, o *mailbox.Options) (err error) {
	if f.deliveryKey != "" {
		o.DeliveryKey, err = f.delivery()
		return err
	}
	if o.ServerKey, o.WithoutServerKey, err = f.key(mode, isNew); err != nil {
		return err
	}
	o.OtherServerKey, err = f.otherKey()
	return err
}

// CreateServerKey writes a random key. Of processes that begin together one wins.
func CreateServerKey(file string) error {
	err := CreateFile(file, crypto.NewServerKey().Export()+"\n")
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
