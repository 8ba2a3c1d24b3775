package mailbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// An account's identity can be changed. The recipients of all are published under
// key/<number>: the first has the number 1, and the least that is there counts. A
// change creates the next and then deletes the one before: that is the moment at
// which it takes effect. A later one carries a proof that who had the identity
// before made it:
//
//	age1pq1... LF
//	HMAC-SHA256 in hex LF     of numbers above 1 only
//
// The identity before is kept, sealed under the one that follows it:
//
//	ring/<first 16 bytes of SHA-256 of the follower's recipient, in hex>
//	  version 1 | last position before the change (8) | AGE-SECRET-KEY-PQ-1...
//
// Others may go on under the identity before, for days if the change is interrupted.
// Who completes it says first up to where their snapshots count until there is one
// under the new identity:
//
//	ring/<as above>-<position, 16 digits>
//	  version 1 | position (8)
const (
	ringVersion = 1

	labelRing   = "letterlock/v1/ring"
	labelRotate = "letterlock/v1/rotate"
)

// publication is the recipient that mail for an account is sealed to.
type publication struct {
	object    string // its whole name
	number    int
	recipient *crypto.Recipient
	proof     []byte
}

func keyObject(prefix string, number int) string { return fmt.Sprintf("%skey/%04d", prefix, number) }

// publication reads the recipient that counts. To parse it costs more than to read
// it: one that it is likely to be spares that.
func (s *Store) publication(ctx context.Context, prefix string, likely *crypto.Recipient) (p *publication, err error) {
	for range publicationTries {
		p, err = s.findPublication(ctx, prefix, likely)
		if !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return p, err
}

// publicationTries bounds how often a change of identity that overtook a reader
// makes it look again: the recipient that was listed is gone, and the next was not
// there yet when the listing passed.
const publicationTries = 3

func (s *Store) findPublication(ctx context.Context, prefix string, likely *crypto.Recipient) (*publication, error) {
	p, err := s.readPublication(ctx, prefix, 1, likely)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	next, behind := s.publicationAfter(ctx, prefix, 1, likely)
	if errors.Is(behind, fs.ErrNotExist) {
		return nil, err
	}
	return next, behind
}

// publicationAfter reads the recipient with the least number above one;
// fs.ErrNotExist if there is none.
func (s *Store) publicationAfter(ctx context.Context, prefix string, above int, likely *crypto.Recipient) (*publication, error) {
	for info, err := range s.blobs.List(ctx, prefix+layout.KeyFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: read delivery key: %w", err)
		}
		number, err := strconv.Atoi(strings.TrimPrefix(info.Name, prefix+layout.KeyFolder))
		if err == nil && number > above && info.Name == keyObject(prefix, number) {
			return s.readPublication(ctx, prefix, number, likely)
		}
	}
	return nil, fs.ErrNotExist
}

func (s *Store) readPublication(ctx context.Context, prefix string, number int, likely *crypto.Recipient) (*publication, error) {
	p := &publication{object: keyObject(prefix, number), number: number}
	b, err := layout.ReadAll(ctx, s.blobs, p.object, 8192)
	if err != nil {
		return nil, fmt.Errorf("mailbox: read delivery key: %w", err)
	}
	text, rest, ok := strings.Cut(string(b), "\n")
	if likely != nil && text == likely.String() {
		p.recipient = likely
	} else {
		p.recipient, err = crypto.ParseRecipient(text)
	}
	if err == nil && !ok {
		err = errors.New("no line end")
	}
	if err == nil && number > 1 {
		line, end := strings.CutSuffix(rest, "\n")
		if p.proof, err = hex.DecodeString(line); err == nil && (!end || len(p.proof) != sha256.Size || hex.EncodeToString(p.proof) != line) {
			err = errors.New("no proof")
		}
		rest = ""
	}
	if err == nil && rest != "" {
		err = errors.New("more than a recipient")
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: %w: %w", p.object, eventlog.ErrCorrupt, err)
	}
	return p, nil
}

// proofOf is how who has an identity says that another follows it.
func proofOf(before *crypto.Identity, object string, next *crypto.Recipient) []byte {
	key := before.Derive(labelRotate)
	defer key.Wipe()
	secret := key.Bytes()
	defer clear(secret)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(object + "\n" + next.String()))
	return h.Sum(nil)
}

// follows reports whether a publication was made by who had an identity.
func (p *publication) follows(before *crypto.Identity) bool {
	return p.number > 1 && hmac.Equal(p.proof, proofOf(before, p.object, p.recipient))
}

func (p *publication) encode(before *crypto.Identity) []byte {
	return fmt.Appendf(nil, "%v\n%x\n", p.recipient, proofOf(before, p.object, p.recipient))
}

// retired is an identity that an account had before.
type retired struct {
	identity *crypto.Identity
	until    eventlog.Position
}

func ringObject(prefix string, of *crypto.Recipient) string {
	sum := sha256.Sum256([]byte(of.String()))
	return fmt.Sprintf("%s%s%x", prefix, layout.RingFolder, sum[:16])
}

func sealRetired(next *crypto.Identity, object string, old retired) []byte {
	b := binary.BigEndian.AppendUint64([]byte{ringVersion}, uint64(old.until))
	b = append(b, old.identity.Export()...)
	defer clear(b)
	key := next.Derive(labelRing)
	defer key.Wipe()
	return key.Seal(nil, b, []byte(object))
}

// before reads the identity that an identity followed; fs.ErrNotExist if there
// is none.
func (s *Store) before(ctx context.Context, prefix string, identity *crypto.Identity) (retired, error) {
	object := ringObject(prefix, identity.Recipient())
	sealed, err := layout.ReadAll(ctx, s.blobs, object, 4096)
	if err != nil {
		return retired{}, fmt.Errorf("mailbox: read retired identity: %w", err)
	}
	key := identity.Derive(labelRing)
	defer key.Wipe()
	b, err := key.Open(nil, sealed, []byte(object))
	defer clear(b)
	if err == nil && (len(b) < 9 || b[0] != ringVersion) {
		err = errors.New("malformed")
	}
	var old retired
	if err == nil {
		old.until = eventlog.Position(binary.BigEndian.Uint64(b[1:]))
		old.identity, err = crypto.ParseIdentity(string(b[9:]))
	}
	if err != nil {
		return retired{}, fmt.Errorf("mailbox: %s: %w: %w", object, eventlog.ErrCorrupt, err)
	}
	return old, nil
}

func overdueObject(prefix string, of *crypto.Recipient, p eventlog.Position) string {
	return fmt.Sprintf("%s-%016d", ringObject(prefix, of), uint64(p))
}

// noteOverdue says that snapshots of the identity before count up to a position.
func (s *Store) noteOverdue(ctx context.Context, prefix string, identity *crypto.Identity, p eventlog.Position) error {
	object := overdueObject(prefix, identity.Recipient(), p)
	key := identity.Derive(labelRing)
	defer key.Wipe()
	b := binary.BigEndian.AppendUint64([]byte{ringVersion}, uint64(p))
	err := s.blobs.Create(ctx, object, bytes.NewReader(key.Seal(nil, b, []byte(object))))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("mailbox: change identity: %w", err)
	}
	return nil
}

// overdue returns the last position that noteOverdue noted; 0 if there is none.
func (s *Store) overdue(ctx context.Context, prefix string, identity *crypto.Identity) (last eventlog.Position, err error) {
	key := identity.Derive(labelRing)
	defer key.Wipe()
	for info, err := range s.blobs.List(ctx, ringObject(prefix, identity.Recipient())+"-", "") {
		var sealed []byte
		if err == nil {
			sealed, err = layout.ReadAll(ctx, s.blobs, info.Name, 4096)
		}
		if err != nil {
			return 0, fmt.Errorf("mailbox: read retired identity: %w", err)
		}
		b, err := key.Open(nil, sealed, []byte(info.Name))
		if err == nil && len(b) == 9 && b[0] == ringVersion {
			last = max(last, eventlog.Position(binary.BigEndian.Uint64(b[1:])))
		}
	}
	return last, nil
}

// chain reads all identities before one, newest first.
func (s *Store) chain(ctx context.Context, prefix string, identity *crypto.Identity) (all []retired, err error) {
	for at := identity; ; {
		old, err := s.before(ctx, prefix, at)
		if errors.Is(err, fs.ErrNotExist) {
			return all, nil
		}
		if err != nil {
			wipeAll(all)
			return nil, err
		}
		all = append(all, old)
		at = old.identity
	}
}

func wipeAll(all []retired) {
	for _, r := range all {
		r.identity.Wipe()
	}
}

// standingOf says what an identity is to an account.
type standingOf struct {
	before   []retired    // it
	pending  *publication // its own, not yet in effect: the change to it was interrupted
	inEffect *publication
}

// follows reports whether the identity came after one with a recipient.
func (st *standingOf) follows(r *crypto.Recipient) bool {
	return slices.ContainsFunc(st.before, func(b retired) bool { return b.identity.Recipient().Equal(r) })
}

// standing compares an identity with the recipient that mail is sealed to. It
// fails with ErrSwappedKey if they do not belong together, and with ErrRotated if
// another identity follows this one.
func (s *Store) standing(ctx context.Context, prefix string, identity *crypto.Identity) (st standingOf, err error) {
	p, err := s.publication(ctx, prefix, identity.Recipient())
	if err != nil {
		return st, err
	}
	st.inEffect = p
	if p.recipient.Equal(identity.Recipient()) {
		if p.number > 1 {
			st.before, err = s.chain(ctx, prefix, identity)
			if err == nil && len(st.before) == 0 {
				err = fmt.Errorf("mailbox: %s: %w: %w", ringObject(prefix, p.recipient), eventlog.ErrCorrupt, fs.ErrNotExist)
			}
		}
		return st, err
	}
	if p.follows(identity) {
		return st, fmt.Errorf("mailbox: %s: %w", p.object, ErrRotated)
	}
	if st.before, err = s.chain(ctx, prefix, identity); err != nil {
		return st, err
	}
	if len(st.before) > 0 && p.recipient.Equal(st.before[0].identity.Recipient()) {
		next, err := s.readPublication(ctx, prefix, p.number+1, identity.Recipient())
		if err == nil && next.recipient.Equal(identity.Recipient()) && next.follows(st.before[0].identity) {
			st.pending = next
			return st, nil
		}
	}
	wipeAll(st.before)
	return standingOf{inEffect: p}, s.swapped(p)
}

func (s *Store) swapped(p *publication) error {
	s.logger.Error("the published delivery key was swapped", "object", p.object)
	return fmt.Errorf("mailbox: %s: %w", p.object, ErrSwappedKey)
}
