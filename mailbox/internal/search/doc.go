// Package search finds, sorts and groups messages.
//
//	Query --> Plan --> Candidate.Matches --> Sorter, Threader
//
// A [Plan] is a query that was made ready: it says which UIDs and pages need looking
// at. The caller walks the mailbox, asks [Plan.Candidate] for each message, and gives
// those that match to a [Sorter] or a [Threader]. The package reads messages through
// [Source] only, the least costly way first.
package search
