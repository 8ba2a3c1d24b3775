package s3blob

import (
	"fmt"
	"hash/crc32"
)

// checksum is the CRC-32C of bytes that are written to it. It stands in the
// metadata of an object: every server keeps metadata, and not every one knows the
// checksums that S3 itself has since 2022.
type checksum uint32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Write implements io.Writer.
func (c *checksum) Write(p []byte) (int, error) {
	*c = checksum(crc32.Update(uint32(*c), castagnoli, p))
	return len(p), nil
}

// String returns what an object has under sumKey.
func (c checksum) String() string { return fmt.Sprintf("%08x", uint32(c)) }
