package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The payload of an entry: a version, then each record with its length before
// it. Lengths are four bytes, so that a list of records has one encoding.
const (
	payloadVersion = 1
	recordOverhead = 4
	maxRecords     = 1 + recordOverhead + MaxRecord
)

// recordsSize returns the size of the payload that holds the records.
func recordsSize(records [][]byte) int {
	n := 1
	for _, r := range records {
		n += recordOverhead + len(r)
	}
	return n
}

func appendRecords(records [][]byte) ([]byte, error) {
	if len(records) == 0 {
		return nil, errors.New("an entry needs a record")
	}
	size := 1
	for _, r := range records {
		if len(r) > MaxRecord {
			return nil, fmt.Errorf("record of %d bytes, limit %d: %w", len(r), MaxRecord, ErrTooLarge)
		}
		if size += recordOverhead + len(r); size > maxRecords {
			return nil, fmt.Errorf("%d records of more than %d bytes together: %w", len(records), MaxRecord, ErrTooLarge)
		}
	}
	b := append(make([]byte, 0, size), payloadVersion)
	for _, r := range records {
		b = binary.BigEndian.AppendUint32(b, uint32(len(r)))
		b = append(b, r...)
	}
	return b, nil
}

// parseRecords reads a payload. The records share its memory.
func parseRecords(b []byte) ([][]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("payload is empty")
	}
	switch v := b[0]; {
	case v > payloadVersion:
		return nil, fmt.Errorf("payload version %d: %w", v, ErrNewerVersion)
	case v != payloadVersion:
		return nil, fmt.Errorf("payload version %d is not known", v)
	case len(b) > maxRecords:
		return nil, fmt.Errorf("payload of %d bytes is longer than %d", len(b), maxRecords)
	}
	var records [][]byte
	for b = b[1:]; len(b) > 0; {
		if len(b) < recordOverhead {
			return nil, errors.New("payload ends in the length of a record")
		}
		n := binary.BigEndian.Uint32(b)
		if b = b[recordOverhead:]; uint64(n) > uint64(len(b)) {
			return nil, errors.New("payload ends in a record")
		}
		records = append(records, b[:n:n])
		b = b[n:]
	}
	if records == nil {
		return nil, errors.New("payload has no record")
	}
	return records, nil
}
