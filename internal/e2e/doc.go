// Package e2e tests the mail server of examples/mailserver from outside: as a
// process that is started, connected to, killed, and started again, on a folder
// that other processes use too.
//
// It holds tests only. Those that need nothing but Go run in every "go test
// ./...". Those with real mail programs have the build tag clients, and fail if
// a program is missing:
//
//	go test -tags clients ./internal/e2e
//
// TestBucket wants a bucket, and is skipped without; .ci/s3 runs it on a real server.
//
// Those with programs want curl, swaks, mbsync, neomutt, offlineimap, fetchmail, python3, age
// (1.3 or newer), and node with the package imapflow (NODE_PATH says where). With
// LETTERLOCK_THUNDERBIRD, the name of a file for a picture of its window, Thunderbird is tried
// too, and wants Xvfb. The script .ci/run installs them all.
package e2e
