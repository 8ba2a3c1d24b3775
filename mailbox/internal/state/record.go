package state

import (
	"fmt"

	"github.com/letterlock/letterlock/eventlog"
)

// RecordEvents decodes the events of one record of the log, in the order in which
// they are applied. What somebody without the account's keys wrote must be a
// delivery that checks; another record of that kind is eventlog.ErrSkip.
func RecordEvents(kind eventlog.Kind, record []byte) ([]Event, error) {
	e, err := DecodeEvent(record)
	d, delivery := e.(*Deliver)
	if kind == eventlog.Delivered {
		if err != nil || !delivery {
			return nil, fmt.Errorf("%w: not a delivery", eventlog.ErrSkip)
		}
		if err := d.Check(); err != nil {
			return nil, fmt.Errorf("%w: %w", eventlog.ErrSkip, err)
		}
		return []Event{d}, nil
	}
	if err != nil {
		return nil, err
	}
	if delivery {
		return nil, ErrInvalidEvent
	}
	if all, ok := e.(*Batch); ok {
		return all.Events, nil
	}
	return []Event{e}, nil
}

// EntryMetadata collects the metadata of the messages that a log entry added, in
// the order in which apply counts them.
func EntryMetadata(entry eventlog.Entry) ([][]byte, error) {
	var metas [][]byte
	for _, rec := range entry.Records {
		e, err := DecodeEvent(rec)
		if err != nil {
			if entry.Kind == eventlog.Delivered {
				continue // apply skipped it
			}
			return nil, err
		}
		metas = appendMetas(metas, e)
	}
	return metas, nil
}

func appendMetas(metas [][]byte, e Event) [][]byte {
	var added []NewMessage
	switch e := e.(type) {
	case *AddMessages:
		added = e.Messages
	case *ImportMessages:
		added = e.Messages
	case *Deliver:
		if e.Check() == nil {
			added = e.Messages
		}
	case *Batch:
		for _, e := range e.Events {
			metas = appendMetas(metas, e)
		}
	}
	for _, m := range added {
		metas = append(metas, m.Meta)
	}
	return metas
}
