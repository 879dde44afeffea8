package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestControlCharactersBecomeVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "",
		"Größe ≥ 3 – 株式 🙂 ☺\ufe0f":           "Größe ≥ 3 – 株式 🙂 ☺\ufe0f",
		"a\x1b[31mred\x1b[0m":                `a\u001b[31mred\u001b[0m`,
		"\x1b]0;title\a":                     `\u001b]0;title\u0007`,
		"a\r\n2026-11-30  boss\tx":           `a\r\n2026-11-30  boss\tx`,
		"\x00\x7f\u0080\u009b31m\u009f":      `\u0000\u007f\u0080\u009b31m\u009f`,
		"a\u2028b\u2029c":                    `a\u2028b\u2029c`,
		"\u202etxt\u2066x\u2069\u200e\u061c": `\u202etxt\u2066x\u2069\u200e\u061c`,
		"a\u200bb\u200dc\ufeffd\u00ade":      `a\u200bb\u200dc\ufeffd\u00ade`,
		"a\U000e0041\U000e0101b":             `a\U000e0041\U000e0101b`,
		"a\u3164b\u2800c\u034fd\u115fe":      `a\u3164b\u2800c\u034fd\u115fe`,
		"a\ue000b\U000f0000c\u0378d":         `a\ue000b\U000f0000c\u0378d`,
		"a\x9b31m\xff\xc3":                   `a\x9b31m\xff\xc3`,
		"kept \ufffd and not \xed\xa0\x80":   "kept \ufffd and not " + `\xed\xa0\x80`,
	} {
		assert.Equal(t, want, Visible(in), "%q", in)
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b[31m\u202e\x9b\n")
	f.Fuzz(func(t *testing.T, s string) {
		out := Visible(s)
		require.True(t, utf8.ValidString(out))
		for _, r := range out {
			require.True(t, unicode.IsGraphic(r) || r == '\ufe0e' || r == '\ufe0f', "%q gives %q", s, out)
		}
		require.Equal(t, out, Visible(out), "visible text stays unchanged")
	})
}

func TestNamesAreRefused(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]string{
		"":                      "is missing",
		" ":                     "space at its start",
		" core":                 "space at its start",
		"core ":                 "space at its end",
		"core\u3000":            "space at its end",
		"co\xffre":              "not UTF-8",
		"co\nre":                "U+000A",
		"co\tre":                "U+0009",
		"co\x00re":              "U+0000",
		"co\x7fre":              "U+007F",
		"co\u009bre":            "U+009B",
		"co\u2028re":            "U+2028",
		"co\u202ere":            "U+202E",
		"co\u2066re":            "U+2066",
		"co\u200ere":            "U+200E",
		"co\u061cre":            "U+061C",
		"co\u200bre":            "U+200B",
		"co\u200dre":            "U+200D",
		"co\u2060re":            "U+2060",
		"co\u00adre":            "U+00AD",
		"co\ufeffre":            "U+FEFF",
		"\ufeffcore":            "U+FEFF",
		"co\U000e0041re":        "U+E0041",
		"co\U000e0101re":        "U+E0101",
		"co\ufe0fre":            "U+FE0F",
		"co\u034fre":            "U+034F",
		"co\u3164re":            "U+3164",
		"co\u2800re":            "U+2800",
		"co\u0378re":            "U+0378",
		"co\uffffre":            "U+FFFF",
		"co\ue000re":            "U+E000",
		"co\U00100000re":        "U+100000",
		"co\ufffdre":            "U+FFFD",
		"co\u00a0re":            "U+00A0",
		"co\u200are":            "U+200A",
		"\u0301core":            "accent",
		"cоre":                  "alphabets", // a Cyrillic о
		"lοcal":                 "alphabets", // a Greek ο
		strings.Repeat("a", 51): "more than 50",
		strings.Repeat("é", 51): "more than 50",
		"\xf0\x9f\x99":          "not UTF-8",
		"\xed\xa0\x80":          "not UTF-8",
		"a\u180eb":              "U+180E",
		"\U000e007fa":           "U+E007F",
		"a\u206ab":              "U+206A",
		"a\ufff9b":              "U+FFF9",
		"core \u200b":           "U+200B",
		"\u200e":                "U+200E",
		"a\U0001d173b":          "U+1D173",
		"x\u2029":               "U+2029",
		"\u0085":                "U+0085",
		"a\u1160":               "U+1160",
		"a\u17b4":               "U+17B4",
		"a\uffa0":               "U+FFA0",
	} {
		_, err := CheckName(name, 50)
		if assert.Error(t, err, "%q", name) {
			assert.Contains(t, err.Error(), why, "%q", name)
			assert.Equal(t, Visible(err.Error()), err.Error(), "the reason can be shown")
		}
	}
}

func TestNamesAreKeptInOneForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"core":                        "core",
		"Growth & Income (2026) #1":   "Growth & Income (2026) #1",
		"株式　日本":                       "株式　日本",
		"Фонд роста":                  "Фонд роста",
		"Ελλάδα ETF, β-neutral, µ, Ω": "Ελλάδα ETF, β-neutral, µ, Ω",
		"हिन्दी 한국어 עברית العربية": "हिन्दी 한국어 עברית العربية",
		"🚀 to the moon":               "🚀 to the moon",
		strings.Repeat("e\u0301", 50): strings.Repeat("é", 50),
		"\u212bngstrom":               "Ångstrom",
	} {
		got, err := CheckName(in, 50)
		require.NoError(t, err, "%q", in)
		assert.Equal(t, want, got)
	}
	composed, err := CheckName("été", 50)
	require.NoError(t, err)
	decomposed, err := CheckName("e\u0301te\u0301", 50)
	require.NoError(t, err)
	assert.Equal(t, composed, decomposed, "one name, in either encoding")
}

func FuzzCheckName(f *testing.F) {
	f.Add("e\u0301te\u0301")
	f.Fuzz(func(t *testing.T, s string) {
		name, err := CheckName(s, 100)
		if err != nil {
			require.Empty(t, name)
			return
		}
		again, err := CheckName(name, 100)
		require.NoError(t, err, "%q is kept as %q", s, name)
		require.Equal(t, name, again)
		require.Equal(t, name, Visible(name))
	})
}

func TestCellsAreNoFormulas(t *testing.T) {
	t.Parallel()
	for _, formula := range []string{
		`=HYPERLINK("http://127.0.0.1/?x="&B2,"click")`, "=1+1", "+1+1", "-1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)",
		"\t=1", "\r=1", "\n=1",
		"  =1", "\u00a0=1", "＝1", "＋1+1", "-x", "+x", "-1e", "-1e5x", "--1", "+-", "@", "=", "-1:2", "\tx", "-.", "-%",
	} {
		assert.Equal(t, "'"+formula, Cell(formula), "%q", formula)
	}
	for _, plain := range []string{
		"", "-", "core", "-1", "+1", "-1.5", "-.5", "-5.", "-1e-05", "+1E+10", "-12.5%", "-Inf", "+Inf", "Inf", "NaN",
		"1=1",
		"a@b", "2026-11-30",
		"'=1", "-0.000000123", "-1234567890123456789012345678",
	} {
		assert.Equal(t, plain, Cell(plain), "%q", plain)
	}
}
