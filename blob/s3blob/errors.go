package s3blob

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"
)

// verdict is what can be done about a request that failed.
type verdict int

const (
	final   verdict = iota // trying again cannot help
	refused                // it did not happen; trying again may help
	unknown                // it may have happened; trying again may help
	odd                    // no S3 server says so: the answer was changed on its way, or it is none of S3
)

// oddTries is how often a request is made whose answers are odd, or whose bytes
// are others than were created.
const oddTries = 3

// answer is a request that failed: what the server answered, or that it did not.
// It hides what is wrapped from errors.Is: to net/http a missing socket is
// fs.ErrNotExist, and an unreachable store must not look empty. errors.As sees it.
type answer struct {
	verdict verdict
	status  int    // 0 if there was no answer
	code    string // of S3, if any
	text    string
	err     error
}

func (a *answer) Error() string   { return a.text }
func (a *answer) As(out any) bool { return errors.As(a.err, out) }

// oddAnswer is an answer of 200 that no S3 server gives.
func oddAnswer(text string) *answer {
	return &answer{verdict: odd, status: http.StatusOK, text: text}
}

// has reports whether err is an answer with one of these codes.
func has(err error, codes ...string) bool {
	var a *answer
	if !errors.As(err, &a) {
		return false
	}
	for _, c := range codes {
		if a.code == c {
			return true
		}
	}
	return false
}

// hasStatus reports whether err is an answer of this status.
func hasStatus(err error, status int) bool {
	var a *answer
	return errors.As(err, &a) && a.status == status
}

// judge turns an error of the SDK into an answer.
func (s *Store) judge(x *exchange, err error) *answer {
	a := &answer{status: x.status, err: err}
	var api smithy.APIError
	switch {
	case x.cause(err) == errStalled:
		a.verdict, a.text = unknown, fmt.Sprintf("no byte moved for %v", x.stall)
	case !x.sent:
		a.text = fmt.Sprintf("not sent: %s", innermost(err))
		if strings.Contains(a.text, "get credentials") { // the SDK has no type for it
			a.text += "; are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set?"
		}
	case x.status == 0:
		a.verdict, a.text = s.judgeSilence(err)
	case errors.As(err, &api):
		a.code = api.ErrorCode()
		a.verdict = judgeCode(a.code, a.status)
		a.text = fmt.Sprintf("%d %s", a.status, a.code)
		if m := api.ErrorMessage(); m != "" && m != a.code {
			a.text += ": " + m
		}
		if id := x.header.Get("X-Amz-Request-Id"); id != "" {
			a.text += " (request " + id + ")"
		}
	default:
		a.verdict = judgeCode("", a.status)
		a.text = fmt.Sprintf("%d, which cannot be understood: %s", a.status, innermost(err))
		if a.status < 300 {
			a.verdict = unknown
		}
	}
	if h := s.hint(x, a); h != "" {
		a.text += "; " + h
	}
	return a
}

// webPage reports whether an answer is a page for people, which is not S3's and
// will be no other the next time. Proxies are overloaded with web pages too.
func webPage(x *exchange, a *answer) bool {
	return x.status != 0 && (a.verdict == final || a.verdict == odd || x.status < 300) && strings.HasPrefix(x.header.Get("Content-Type"), "text/html")
}

// judgeSilence judges a request that was not answered.
func (s *Store) judgeSilence(err error) (verdict, string) {
	text := innermost(err).Error()
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &cert):
		return final, "TLS: " + text
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return final, "the endpoint does not speak TLS: " + text
	}
	return unknown, text
}

// judgeCode judges by what the server says.
func judgeCode(code string, status int) verdict {
	switch code {
	case "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "BadDigest",
		"IncompleteBody", "XAmzContentSHA256Mismatch", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict":
		return refused
	case "NotImplemented":
		return final
	case "InternalError", "ServiceUnavailable":
		return unknown // also inside an answer of 200
	case "UnknownError":
		if status < 300 {
			return unknown // it says yes and no
		}
	}
	switch {
	case status == http.StatusConflict, status == http.StatusTooManyRequests:
		return refused
	case status == http.StatusRequestTimeout, status >= 500 && status != http.StatusNotImplemented:
		return unknown
	case status == 0, status == http.StatusPreconditionFailed, status == http.StatusRequestedRangeNotSatisfiable, finalCodes[code]:
		return final
	}
	return odd
}

// finalCodes are the words of S3 that need no second look. One that is not here,
// also because a bit of it was flipped or half of the answer is missing, is asked
// for again.
var finalCodes = map[string]bool{
	"NoSuchKey": true, "NoSuchBucket": true, "NoSuchUpload": true, "AccessDenied": true, "InvalidAccessKeyId": true,
	"InvalidSecurity": true, "XAdminUserNotFound": true, "ExpiredToken": true, "TokenRefreshRequired": true, "InvalidToken": true,
	"PermanentRedirect": true, "AuthorizationHeaderMalformed": true, "MovedPermanently": true, "TemporaryRedirect": true,
	"IllegalLocationConstraintException": true, "RequestTimeTooSkewed": true, "RequestExpired": true, "AccessDeniedClockSkew": true,
	"SignatureDoesNotMatch": true, "InvalidRequest": true, "InvalidArgument": true, "MethodNotAllowed": true, "EntityTooLarge": true, "EntityTooSmall": true, "InvalidPart": true, "QuotaExceeded": true,
}

// hint says what can be done about an answer.
func (s *Store) hint(x *exchange, a *answer) string {
	switch a.code {
	case "NoSuchBucket":
		return fmt.Sprintf("there is no bucket %q at this endpoint", s.bucket)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "XAdminUserNotFound": // the last one of versitygw
		return "the access key or its secret is wrong"
	case "ExpiredToken", "TokenRefreshRequired", "InvalidToken":
		return "the credentials have expired"
	case "AccessDenied":
		return "these credentials need GetObject, PutObject, DeleteObject, ListBucket and AbortMultipartUpload on the whole prefix"
	case "RequestTimeTooSkewed", "RequestExpired", "AccessDeniedClockSkew":
		if t, err := http.ParseTime(x.header.Get("Date")); err == nil {
			return fmt.Sprintf("the clock of this machine is %v from the server's; set it", time.Since(t).Round(time.Second))
		}
		return "set the clock of this machine"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "MovedPermanently", "TemporaryRedirect", "IllegalLocationConstraintException":
		if r := x.header.Get("X-Amz-Bucket-Region"); r != "" {
			return "the bucket is in the region " + r
		}
		return "the bucket is in another region, or at another endpoint"
	case "MethodNotAllowed":
		return "is this the endpoint of an S3 server?"
	}
	return ""
}

// innermost strips what the SDK and net/http put around an error: names of
// operations, the URL.
func innermost(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// missing turns the server's word that there is no such object into
// fs.ErrNotExist. Only S3 itself can say so: a web page with 404 does not, nor
// does a bucket that is gone.
func missing(err error) error {
	if has(err, "NoSuchKey") {
		return fs.ErrNotExist
	}
	return err
}
