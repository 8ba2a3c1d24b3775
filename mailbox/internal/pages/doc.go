// Package pages reads and writes what a [state.Account] refers to in the store: pages,
// metadata and bodies.
//
//	Store --> Cache (one for the process) --> sealed objects, entries of the log
//
// A [Store] serves one account. [Store.Walk] goes through the messages of a mailbox
// and reads ahead. [Store.Write] writes what only memory or the log has, before a
// snapshot names it. The package decides nothing about accounts: it knows no sessions,
// and no times at which snapshots are due.
package pages
