package gc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"slices"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// shorten returns half of an object's ID: its first four bytes, so that the order
// of parts is that of names, and its last four, in which also the bodies of one
// origin differ (see origins.go). That two objects of an account have it in common
// hardly happens, and if it did, garbage would stay.
func shorten(id eventlog.ObjectID) uint64 {
	be := binary.BigEndian
	return uint64(be.Uint32(id[:]))<<32 | uint64(be.Uint32(id[len(id)-4:]))
}

// idSet is a set of shortened IDs; sorted before it is asked.
type idSet []uint64

func (s idSet) sort() idSet {
	slices.Sort(s)
	return slices.Compact(s)
}

func (s idSet) has(id uint64) bool {
	_, ok := slices.BinarySearch(s, id)
	return ok
}

// idRange is a part of all IDs.
type idRange struct{ first, last uint64 }

var everything = idRange{0, math.MaxUint64}

// after returns a name that sorts directly before those of the part.
func (r idRange) after(prefix string) string {
	if r.first == 0 {
		return ""
	}
	return fmt.Sprintf("%s%08x", prefix, r.first>>32)
}

// parts divides the bodies of a state so that no part is much larger than a size.
func parts(s *state.Account, size int) []idRange {
	n := 0
	for _, m := range s.Mailboxes {
		n += m.Messages
	}
	if n <= size {
		return []idRange{everything}
	}
	k := bits.Len(uint((n - 1) / size)) // 2^k parts
	out := make([]idRange, 1<<k)
	for i := range out {
		first := uint64(i) << (64 - k)
		out[i] = idRange{first, first + 1<<(64-k) - 1}
	}
	return out
}

// survey gathers what states refer to: bodies of one part, and all packs.
type survey struct {
	part          idRange
	bodies, packs idSet
	seen          map[pack.BlockID]bool // pages in the store
}

func newSurvey(part idRange) *survey {
	return &survey{part: part, seen: map[pack.BlockID]bool{}}
}

func (v *survey) sort() {
	v.bodies, v.packs = v.bodies.sort(), v.packs.sort()
}

// state adds all that a state refers to.
func (v *survey) state(ctx context.Context, a *Account, s *state.Account) error {
	v.addPacks(s)
	return a.Pages.EachPage(ctx, s, v.seen, func(_ *state.PageRef, p *state.Page) {
		for i := range p.Bodies {
			if id := shorten(p.Bodies[i].ID); v.part.first <= id && id <= v.part.last {
				v.bodies = append(v.bodies, id)
			}
		}
	})
}

// addPacks adds the packs that a state refers to.
func (v *survey) addPacks(s *state.Account) {
	for id := range s.Packs {
		v.packs = append(v.packs, shorten(eventlog.ObjectID(id)))
	}
}

// surveySnapshots adds to kept the packs of all snapshots in the store. One that was
// trimmed meanwhile is not needed, nor one that came too late from a session of an
// identity before: nobody begins with it.
func (a *Account) surveySnapshots(ctx context.Context, kept *survey) error {
	snaps, err := a.Pages.Log.Snapshots(ctx)
	if err != nil {
		return err
	}
	for _, pos := range snaps {
		_, s, err := a.Pages.ReadSnapshot(ctx, pos)
		if err == nil {
			kept.addPacks(s)
		}
		if err == nil || errors.Is(err, eventlog.ErrOtherIdentity) {
			continue
		}
		if _, gone := a.Pages.Blobs.Stat(ctx, eventlog.SnapshotName(a.Pages.Prefix, pos)); errors.Is(gone, fs.ErrNotExist) {
			continue
		}
		return err
	}
	return nil
}

// slotSurvey finds which metadata of each segment is in use.
type slotSurvey struct {
	segments map[pack.BlockID]*slotsUsed
	seen     map[pack.BlockID]bool
}

type slotsUsed struct {
	slots [state.SegmentMessages / 64]uint64
}

// maxSurveyed bounds how many segments are looked at, 256 messages each as a rule.
const maxSurveyed = 1 << 16

func newSlotSurvey() *slotSurvey {
	return &slotSurvey{segments: map[pack.BlockID]*slotsUsed{}, seen: map[pack.BlockID]bool{}}
}

func (v *slotSurvey) state(ctx context.Context, a *Account, s *state.Account) error {
	return a.Pages.EachPage(ctx, s, v.seen, func(_ *state.PageRef, p *state.Page) {
		for i, src := range p.Sources {
			if src.Entry != 0 {
				continue
			}
			u := v.segments[src.Segment]
			if u == nil {
				if len(v.segments) == maxSurveyed {
					continue
				}
				u = &slotsUsed{}
				v.segments[src.Segment] = u
			}
			for k := range p.SourceIndex {
				if int(p.SourceIndex[k]) == i && p.Slots[k] < state.SegmentMessages {
					u.slots[p.Slots[k]/64] |= 1 << (p.Slots[k] % 64)
				}
			}
		}
	})
}

// full reports whether there may be segments that were not looked at.
func (v *slotSurvey) full() bool { return len(v.segments) == maxSurveyed }

// count returns how many slots are in use; none if u is nil.
func (u *slotsUsed) count() int {
	if u == nil {
		return 0
	}
	n := 0
	for _, w := range u.slots {
		n += bits.OnesCount64(w)
	}
	return n
}
