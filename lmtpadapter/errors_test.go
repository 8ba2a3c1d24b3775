package lmtpadapter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox"
)

func TestStatus(t *testing.T) {
	own := &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "moving house"}
	for _, tc := range []struct {
		err      error
		code     int
		enhanced smtp.EnhancedCode
	}{
		{mailbox.ErrNoAccount, 550, smtp.EnhancedCode{5, 1, 1}},
		{mailbox.ErrTooLarge, 552, smtp.EnhancedCode{5, 3, 4}},
		{mailbox.ErrOverQuota, 452, smtp.EnhancedCode{4, 2, 2}},
		{fmt.Errorf("%w: %w", mailbox.ErrOverQuota, mailbox.ErrTooLarge), 552, smtp.EnhancedCode{5, 2, 2}},
		{mailbox.ErrClosed, 451, smtp.EnhancedCode{4, 3, 2}},
		{context.Canceled, 451, smtp.EnhancedCode{4, 3, 2}},
		{context.DeadlineExceeded, 451, smtp.EnhancedCode{4, 3, 0}},
		{eventlog.ErrCorrupt, 451, smtp.EnhancedCode{4, 2, 0}},
		{eventlog.ErrUnknownOutcome, 451, smtp.EnhancedCode{4, 3, 0}},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 452, smtp.EnhancedCode{4, 3, 1}},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, 452, smtp.EnhancedCode{4, 3, 1}},
		{errors.New("anything"), 451, smtp.EnhancedCode{4, 3, 0}},
		{own, 450, own.EnhancedCode},
		{errCut, 421, smtp.EnhancedCode{4, 4, 2}},
	} {
		got := status(fmt.Errorf("inside: %w", tc.err))
		assert.Equal(t, tc.code, got.Code, "%v", tc.err)
		assert.Equal(t, tc.enhanced, got.EnhancedCode, "%v", tc.err)
		assert.NotContains(t, got.Message, "inside")
		assert.Equal(t, tc.code/100, tc.enhanced[0])
	}
}
