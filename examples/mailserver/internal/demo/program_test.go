package demo_test

import (
	"github.com/letterlock/letterlock/examples/mailserver/internal/account"
	"github.com/letterlock/letterlock/examples/mailserver/internal/care"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
)

// ok runs the program with the commands that these tests use.
var _, ok = clitest.Runners(account.Commands(), care.Commands())
