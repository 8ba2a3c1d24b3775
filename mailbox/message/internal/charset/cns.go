package charset

import "golang.org/x/text/encoding/traditionalchinese"

// eucTW decodes EUC-TW: plane 1 of CNS 11643 in two octets, and any plane in four.
type eucTW struct{ stateless }

func (eucTW) step(src []byte, final bool) (r rune, n int) {
	if src[0] < 0x80 {
		return rune(src[0]), 1
	}
	plane, size := cns1, 2
	if src[0] == 0x8e {
		size = 4
	}
	switch {
	case len(src) < size && !final:
		return none, 0
	case len(src) < size:
		return replacement, len(src)
	case size == 2:
	case src[1] == 0xa2:
		plane = cns2
	case src[1] != 0xa1:
		plane = unknown
	}
	if c, d := src[size-2], src[size-1]; c > 0xa0 && d > 0xa0 {
		return plane.two(c&0x7f, d&0x7f), size
	}
	return replacement, 1
}

// cns11643 decodes planes 1 and 2, whose characters stand in the order of Big5 but
// for some that were put elsewhere.
func cns11643(plane set, c, d byte) rune {
	at := int(c-0x21)*94 + int(d-0x21)
	for _, run := range cnsRuns[plane] {
		if run[0] <= at && at < run[1] {
			n := run[2] + at - run[0]
			trail := byte(0x40 + n%157)
			if n%157 >= 63 {
				trail = byte(0xa1 + n%157 - 63)
			}
			return decodeOne(traditionalchinese.Big5, byte(0xa1+n/157), trail)
		}
	}
	return replacement
}

// cnsRuns are runs of characters that follow each other in both: the first and the
// end in a plane, counted from 0, and the first in Big5, counted from 0xa140. They
// were made by comparing the conversion tables of EUC-TW and Big5 in the GNU C
// library.
var cnsRuns = map[set][][3]int{
	cns1: {
		{0, 5, 0}, {6, 21, 6}, {21, 23, 23}, {24, 25, 22}, {29, 73, 29}, {73, 74, 74}, {74, 75, 73}, {75, 96, 75},
		{98, 99, 98}, {100, 127, 100}, {127, 128, 128}, {128, 129, 127}, {130, 144, 130}, {146, 148, 146}, {148,
			149, 149}, {149, 150, 148}, {150, 154, 150}, {155, 156, 21}, {156, 234, 156}, {282, 311, 234}, {312, 313,
			264}, {314, 456, 266}, {3290, 4702, 471}, {4702, 5126, 1884}, {5126, 5127, 1883}, {5127,
			7003, 2308}, {7003, 7004, 4571}, {7004, 7391, 4184}, {7391, 7916, 4572}, {7916, 7917, 5286}, {7917, 8022,
			5097}, {8023, 8106, 5203}, {8106, 8190, 5287}, {8190, 8191, 5517}, {8191, 8245, 5371}, {8245, 8246, 5426},
		{8246, 8247, 5425}, {8247, 8337, 5427}, {8337, 8691, 5518},
	},
	cns2: {
		{0, 10, 6280}, {10, 43, 6291}, {43, 44, 6372}, {44, 92, 6324}, {92, 138, 6373}, {138, 139, 6586}, {139, 306,
			6419}, {306, 2146, 6587}, {2146, 2147, 9074}, {2147, 2255, 8428}, {2255, 2792, 8537}, {2792, 2793, 8427},
		{2793, 2893, 9075}, {2893, 2894, 8536}, {2894, 3293, 9175}, {3293, 4930, 9575}, {4930, 4931, 11761}, {4931,
			5077, 11212}, {5077, 5078, 11899}, {5078, 5365, 11358}, {5365, 5366, 12508}, {5366, 5482, 11645}, {5482,
			5619, 11762}, {5619, 5723, 11900}, {5723, 5724, 12425}, {5724, 5946, 12004}, {5946, 6144, 12227}, {6144,
			6226, 12426}, {6226, 6312, 12509}, {6312, 6313, 12226}, {6313, 6321, 12595}, {6321, 6474, 12604}, {6474,
			6530, 12758}, {6530, 6531, 13114}, {6531, 6644, 12814}, {6644, 6645, 12603}, {6645, 6787, 12927}, {6787,
			6788, 12757}, {6788, 6833, 13069}, {6833, 6904, 13115}, {6904, 6905, 13380}, {6905, 7099, 13186}, {7099,
			7589, 13381}, {7589, 7590, 13914}, {7590, 7633, 13871}, {7633, 7634, 13915}, {7634, 7645, 13917}, {7645,
			7646, 13916}, {7646, 7650, 13928},
	},
}
