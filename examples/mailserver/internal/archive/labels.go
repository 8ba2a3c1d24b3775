package archive

import (
	"mime"
	"slices"
	"strings"
)

// place is a folder that a label stands for.
type place struct{ name, use string }

// gmailLabel is what a label of Gmail's own means.
type gmailLabel int

const (
	labelInbox gmailLabel = iota + 1
	labelSent
	labelDrafts
	labelTrash
	labelSpam
	labelArchived
	labelUnread
	labelOpened
	labelStarred
	labelImportant
)

// gmailLabels are Gmail's own labels in lower case: as Takeout writes them in English
// and, after that, in German, French, Spanish, Italian, Portuguese, Dutch and Czech,
// and as Gmail's API names them. A label that is not here is the user's.
var gmailLabels = map[string]gmailLabel{
	"inbox": labelInbox, "posteingang": labelInbox, "boîte de réception": labelInbox, "recibidos": labelInbox,
	"posta in arrivo": labelInbox, "caixa de entrada": labelInbox, "postvak in": labelInbox, "doručená pošta": labelInbox,

	"sent": labelSent, "sent mail": labelSent, "gesendet": labelSent, "envoyé": labelSent, "envoyés": labelSent,
	"messages envoyés": labelSent, "enviado": labelSent, "enviados": labelSent, "inviati": labelSent,
	"posta inviata": labelSent, "verzonden": labelSent, "odeslané": labelSent, "odesláno": labelSent,

	"drafts": labelDrafts, "draft": labelDrafts, "entwürfe": labelDrafts, "entwurf": labelDrafts, "brouillons": labelDrafts,
	"brouillon": labelDrafts, "borradores": labelDrafts, "borrador": labelDrafts, "bozze": labelDrafts,
	"rascunhos": labelDrafts, "rascunho": labelDrafts, "concepten": labelDrafts, "koncepty": labelDrafts,

	"trash": labelTrash, "bin": labelTrash, "papierkorb": labelTrash, "corbeille": labelTrash, "papelera": labelTrash,
	"cestino": labelTrash, "lixeira": labelTrash, "prullenbak": labelTrash, "koš": labelTrash,

	"spam": labelSpam, "courrier indésirable": labelSpam,

	"archived": labelArchived, "archiviert": labelArchived, "archivé": labelArchived, "archivés": labelArchived,
	"messages archivés": labelArchived, "archivado": labelArchived, "archivados": labelArchived,
	"archiviati": labelArchived, "archiviato": labelArchived, "arquivado": labelArchived, "arquivados": labelArchived,
	"gearchiveerd": labelArchived, "archivováno": labelArchived,

	"unread": labelUnread, "ungelesen": labelUnread, "non lu": labelUnread, "non lus": labelUnread,
	"no leído": labelUnread, "no leídos": labelUnread, "da leggere": labelUnread, "non letti": labelUnread,
	"não lida": labelUnread, "não lidas": labelUnread, "não lido": labelUnread, "não lidos": labelUnread,
	"ongelezen": labelUnread, "nepřečtené": labelUnread,

	"opened": labelOpened, "geöffnet": labelOpened, "ouvert": labelOpened, "abierto": labelOpened, "abiertos": labelOpened,
	"aperto": labelOpened, "aperti": labelOpened, "letto": labelOpened, "aberto": labelOpened, "abertos": labelOpened,
	"geopend": labelOpened, "otevřené": labelOpened, "otevřeno": labelOpened,

	"starred": labelStarred, "markiert": labelStarred, "suivi": labelStarred, "suivis": labelStarred,
	"destacado": labelStarred, "destacados": labelStarred, "speciale": labelStarred, "speciali": labelStarred,
	"com estrela": labelStarred, "met ster": labelStarred, "s hvězdičkou": labelStarred,

	"important": labelImportant, "wichtig": labelImportant, "importants": labelImportant, "importante": labelImportant,
	"importantes": labelImportant, "importanti": labelImportant, "belangrijk": labelImportant, "důležité": labelImportant,
}

// categoryBegins are the beginnings of the labels of Gmail's tabs.
var categoryBegins = []string{"category ", "category_", "kategorie: ", "catégorie : ", "catégorie: ", "categoría: ", "categoria: ", "categorie: "}

// gmailPlaces returns the folders and flags that the value of X-Gmail-Labels stands
// for: a folder for each label of the user's and for Gmail's Inbox, Sent and Drafts;
// only Trash or Junk for what is there; Archive for what is in none. Starred is
// \Flagged, Important is $Important, and what is not Unread is \Seen. The tabs
// (categories) and the flags that IMAP clients set are keywords.
func gmailPlaces(value string) (places []place, flags []string) {
	own := map[gmailLabel]bool{}
	for _, label := range splitLabels(value) {
		lower := strings.ToLower(label)
		kind := gmailLabels[lower]
		keyword, isKeyword := labelKeyword(label, lower)
		switch {
		case kind != 0:
			own[kind] = true
		case isKeyword:
			if keyword != "" && !slices.Contains(flags, keyword) {
				flags = append(flags, keyword)
			}
		default:
			places = append(places, place{name: label})
		}
	}
	for kind, flag := range map[gmailLabel]string{labelStarred: `\Flagged`, labelImportant: "$Important", labelDrafts: `\Draft`} {
		if own[kind] {
			flags = append(flags, flag)
		}
	}
	if !own[labelUnread] {
		flags = append(flags, `\Seen`)
	}
	slices.Sort(flags)
	switch {
	case own[labelTrash]:
		return []place{{"Trash", `\Trash`}}, flags
	case own[labelSpam]:
		return []place{{"Junk", `\Junk`}}, flags
	}
	for _, p := range []struct {
		kind gmailLabel
		place
	}{{labelDrafts, place{"Drafts", `\Drafts`}}, {labelSent, place{"Sent", `\Sent`}}, {labelInbox, place{name: "INBOX"}}} {
		if own[p.kind] {
			places = append([]place{p.place}, places...)
		}
	}
	if len(places) == 0 {
		places = []place{{"Archive", `\Archive`}}
	}
	return dropTwice(places), flags
}

// dropTwice drops folders that two labels stand for.
func dropTwice(places []place) []place {
	var out []place
	for _, p := range places {
		if !slices.ContainsFunc(out, func(o place) bool { return o.name == p.name }) {
			out = append(out, p)
		}
	}
	return out
}

// labelKeyword returns the keyword that a label is: of a category, or one that an
// IMAP client set, which is IMAP_ and the keyword.
func labelKeyword(label, lower string) (string, bool) {
	if rest, ok := strings.CutPrefix(label, "IMAP_"); ok {
		return rest, true
	}
	for _, begin := range categoryBegins {
		if strings.HasPrefix(lower, begin) {
			words := strings.FieldsFunc(label, func(r rune) bool {
				return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
			})
			return strings.Join(words, "_"), true
		}
	}
	return "", false
}

// splitLabels splits the value of X-Gmail-Labels: a list with commas, in which a label
// that has one is in double quotes, and which is encoded as a whole, or each label
// alone, if it is not ASCII (RFC 2047).
func splitLabels(value string) []string {
	if text, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
		value = text
	}
	value = strings.ReplaceAll(value, "\u00a0", " ")
	var labels []string
	for value != "" {
		var label string
		value = strings.TrimLeft(value, " \t")
		if quoted, ok := strings.CutPrefix(value, `"`); ok && strings.Contains(quoted, `"`) {
			var more string
			label, value, _ = strings.Cut(quoted, `"`)
			more, value, _ = strings.Cut(value, ",")
			label += more
		} else {
			label, value, _ = strings.Cut(value, ",")
		}
		if label = strings.TrimSpace(label); label != "" {
			labels = append(labels, label)
		}
	}
	return labels
}
