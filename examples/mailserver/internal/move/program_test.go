package move

import (
	"github.com/letterlock/letterlock/examples/mailserver/internal/account"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
)

// invoke and ok run the program with the commands that these tests use.
var invoke, ok = clitest.Runners(Commands(), account.Commands())
