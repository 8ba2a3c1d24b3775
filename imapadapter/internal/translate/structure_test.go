package translate

import (
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox/message"
)

func TestHeaderText(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                "plain",
		"=?utf-8?q?Caf=C3=A9?=":                "=?utf-8?q?Caf=C3=A9?=", // go-imap leaves ASCII alone
		"Gr\xfc\xdfe":                          "Grüße",
		"Grüße =?utf-8?q?=E2=82=AC?=":          "Grüße €",
		"a\tb":                                 "a\tb",
		"nul \x00 byte":                        "nul  byte",
		"=?iso-8859-1?q?=FC?= and \x01 beyond": "ü and \x01 beyond",
	} {
		assert.Equal(t, want, headerText(in), "%q", in)
	}
}

func TestClean(t *testing.T) {
	assert.Equal(t, "café.txt", clean("caf\xe9.txt"))
	assert.Equal(t, "café.txt", clean("café.\x00txt"))
	assert.Equal(t, "=?utf-8?q?left?=", clean("=?utf-8?q?left?="))
}

func TestMessageIDs(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"<a@b>":                        "a@b",
		" <a@b> <c@d> ":                "a@b> <c@d",
		"<a@b>\t(why) <c@d>":           "a@b>\t(why) <c@d",
		"a@b":                          "a@b",
		"Your letter of Monday":        "",
		"Your letter <a@b> of <c@d> !": "a@b> <c@d",
		"<unclosed":                    "",
		"<a@b> (comment)":              "a@b",
		"<nul\x00@b>":                  "nul@b",
	} {
		assert.Equal(t, want, messageIDs(in), "%q", in)
	}
}

// TestStructureSurvives hands go-imap parts that its writer could not take as
// they are.
func TestStructureSurvives(t *testing.T) {
	empty := BodyStructure(&message.Part{Type: "multipart", Subtype: "mixed", BodySize: 7})
	require.IsType(t, &imap.BodyStructureSinglePart{}, empty)
	assert.Equal(t, "text/plain", empty.MediaType())
	opaque := BodyStructure(&message.Part{Type: "message", Subtype: "rfc822", BodySize: 1 << 40}).(*imap.BodyStructureSinglePart)
	assert.Equal(t, "application/octet-stream", opaque.MediaType())
	assert.Equal(t, uint32(1<<32-1), opaque.Size)
	assert.NotNil(t, opaque.Extended)
	named := BodyStructure(&message.Part{Type: "text", Subtype: "plain", Params: []message.Param{{Name: "name", Value: "a\x00b"}}})
	assert.Equal(t, map[string]string{"name": "ab"}, named.(*imap.BodyStructureSinglePart).Params)
}
