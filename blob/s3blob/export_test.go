package s3blob

import "github.com/aws/aws-sdk-go-v2/service/s3"

// What the tests of bubbles wait for.
const (
	LeaseBeat  = leaseBeat
	LeaseTerm  = leaseTerm
	LeaseTrust = leaseTrust
	Stall      = defaultStall
	Patience   = defaultPatience
	RestGrace  = restGrace
	InMemory   = inMemory
)

var StartAfter = startAfter

// Unconditional returns a store that sends no conditions, as one that is
// Exclusive does on a server that does not know them, without the lease.
func Unconditional(client *s3.Client, bucket string) *Store {
	s, err := newStore(client, bucket, Options{})
	if err != nil {
		panic(err)
	}
	s.conditional = false
	return s
}
