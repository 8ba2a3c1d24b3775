package server

import (
	"slices"
	"strconv"
	"strings"
)

// Capabilities that do not depend on the connection, in the order in which they are
// listed: before a login and after it.
var (
	baseCaps  = []string{"IMAP4rev2", "IMAP4rev1", "SASL-IR"}
	loginCaps = []string{"LITERAL-", "AUTH=PLAIN", "AUTH=OAUTHBEARER", "AUTH=XOAUTH2", "ID"}
	userCaps  = []string{
		"UNSELECT",           // RFC 3691
		"ENABLE",             // RFC 5161
		"IDLE",               // RFC 2177
		"UTF8=ACCEPT",        // RFC 6855
		"NAMESPACE",          // RFC 2342
		"UIDPLUS",            // RFC 4315
		"ESEARCH",            // RFC 4731
		"SEARCHRES",          // RFC 5182
		"LIST-EXTENDED",      // RFC 5258
		"LIST-STATUS",        // RFC 5819
		"MOVE",               // RFC 6851
		"STATUS=SIZE",        // RFC 8438
		"BINARY",             // RFC 3516
		"CHILDREN",           // RFC 3348
		"SPECIAL-USE",        // RFC 6154
		"CREATE-SPECIAL-USE", // RFC 6154
		"LITERAL+",           // RFC 7888, and so no LITERAL-
		"UNAUTHENTICATE",     // RFC 8437
	}
	extensionCaps = []string{
		"ID",           // RFC 2971
		"CONDSTORE",    // RFC 7162
		"QRESYNC",      // RFC 7162
		"OBJECTID",     // RFC 8474
		"SAVEDATE",     // RFC 8514
		"WITHIN",       // RFC 5032
		"SEARCH=FUZZY", // RFC 6203
		"PARTIAL",      // RFC 9394
		"UIDONLY",      // RFC 9586
		"INPROGRESS",   // RFC 9585
		"SORT",         // RFC 5256
		"SORT=DISPLAY", // RFC 5957
		"ESORT",        // RFC 5267
		"THREAD=ORDEREDSUBJECT",
		"THREAD=REFERENCES", // RFC 5256
		"PREVIEW",           // RFC 8970
		"MULTIAPPEND",       // RFC 3502
		"REPLACE",           // RFC 8508
		"NOTIFY",            // RFC 5465
	}
	// quotaCaps are for accounts that may have limits (RFC 9208).
	quotaCaps = []string{"QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE"}
)

// capabilities returns what is offered to the client now.
func (c *conn) capabilities() string {
	var caps []string
	if c.account == nil {
		caps = slices.Concat(baseCaps, loginCaps)
		if !c.mayLogIn() {
			caps = slices.DeleteFunc(caps, func(s string) bool { return strings.HasPrefix(s, "AUTH=") })
		}
		if !c.secure && c.o.TLSConfig != nil {
			caps = append(caps, "STARTTLS")
		}
		if !c.mayLogIn() {
			caps = append(caps, "LOGINDISABLED")
		}
		return strings.Join(caps, " ")
	}
	limit := "APPENDLIMIT=" + strconv.FormatInt(c.o.AppendLimit, 10) // RFC 7889
	caps = slices.Concat(baseCaps, userCaps, []string{limit}, extensionCaps)
	if c.account.Quotas() {
		caps = append(caps, quotaCaps...)
	}
	if c.deflate == nil {
		caps = append(caps, "COMPRESS=DEFLATE") // RFC 4978
	}
	return strings.Join(caps, " ")
}

// capability handles CAPABILITY.
func (r *request) capability() error {
	if err := r.p.End(); err != nil {
		return err
	}
	r.w.Text("* CAPABILITY ", r.capabilities())
	r.w.end()
	return nil
}
