// Package costs counts what a user's commands cost of a store at a distance, such
// as a bucket: how many requests, and how many of them one after the other. It
// holds tests only. They hold the counts to a budget, and the tables of
// docs/s3.md to the counts:
//
//	go test ./internal/costs -v
//	go test ./internal/costs -update
//
// The store is one in memory whose requests take 30 ms each on a virtual clock, so
// that the figures are exact and the same on every machine.
package costs
