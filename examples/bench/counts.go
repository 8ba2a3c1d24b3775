package main

// counts are how much work the workloads do.
type counts struct {
	accounts int   // that append at once, idle, and are told of mail
	logins   int   // of each kind; accounts that log in cold
	mails    int   // in the folder that is copied, read and searched; a multiple of 100
	repeats  int   // of commands that are over in milliseconds
	idle     []int // connections
	quiet    int   // seconds without anything to do
	watchers int   // of the folder that the idle connections see change
	scale    []int // messages of a folder
}

func fullCounts() counts {
	return counts{
		accounts: 16, logins: 100, mails: 1000, repeats: 20, idle: []int{1000, 10000}, quiet: 5, watchers: 63,
		scale: []int{1000, 10000, 100000, 1000000},
	}
}

func quickCounts() counts {
	return counts{accounts: 2, logins: 3, mails: 100, repeats: 2, idle: []int{20}, quiet: 1, watchers: 6, scale: []int{100, 1000}}
}
