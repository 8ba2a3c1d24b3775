//go:build clients

package e2e

import "time"

// writersFor is how long TestManyWriters writes.
const writersFor = time.Minute
