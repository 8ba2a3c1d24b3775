// Module corpus pins modules whose tests hold mails: go mod download fetches them for the
// differential test of mailbox/message, and nothing imports them.
module github.com/letterlock/letterlock/internal/corpus

go 1.25.0

require (
	github.com/ProtonMail/gluon v0.17.1-0.20230724134000-308be39be96e // indirect
	github.com/ProtonMail/go-mime v0.0.0-20230322103455-7d82a3887f2f // indirect
	github.com/emersion/go-imap/v2 v2.0.0-beta.8 // indirect
	github.com/emersion/go-mbox v1.0.3 // indirect
	github.com/emersion/go-message v0.18.2 // indirect
	github.com/emersion/go-msgauth v0.7.0 // indirect
	github.com/inbucket/inbucket/v3 v3.2.0 // indirect
	github.com/jhillyerd/enmime v1.3.0 // indirect
	github.com/jhillyerd/enmime/v2 v2.5.0 // indirect
	github.com/wneessen/go-mail v0.8.1 // indirect
)
