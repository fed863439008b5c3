package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Sizes of what is looked for. A long value is looked for in pieces, so that
// little is held back, and so that a part of it is masked too. Base64 is
// broken into lines at any multiple of four, so its pieces overlap.
const (
	base64Piece = 16
	base64Step  = 4
)

// appendForms adds a value's forms: of all of it, and of each of its lines.
func appendForms(forms []string, value string) []string {
	texts := []string{value, strings.TrimSpace(value)}
	if lines := strings.FieldsFunc(value, func(r rune) bool { return r == '\n' || r == '\r' }); len(lines) > 1 {
		for _, l := range lines {
			texts = append(texts, strings.TrimSpace(l))
		}
	}
	seen := map[string]bool{}
	for _, t := range texts {
		if len(strings.TrimSpace(t)) < minForm || seen[t] {
			continue
		}
		seen[t] = true
		for _, f := range written(t) {
			forms = appendPieces(forms, f, maxForm, maxForm)
		}
		for _, f := range inBase64(t) {
			forms = appendPieces(forms, f, base64Piece, base64Step)
		}
	}
	return forms
}

// appendPieces adds f in pieces of size bytes that begin every step bytes. The
// last one ends where f ends.
func appendPieces(forms []string, f string, size, step int) []string {
	for ; len(f) > size; f = f[step:] {
		forms = append(forms, f[:size])
		if rest := len(f) - step; rest < size {
			return append(forms, f[len(f)-size:])
		}
	}
	if len(f) < minForm {
		return forms
	}
	return append(forms, f)
}

// written are the ways in which tools write a text, but base64.
func written(t string) []string {
	unix := strings.ReplaceAll(t, "\r\n", "\n")
	list := []string{
		t, unix, strings.ReplaceAll(unix, "\n", "\r\n"), // what a terminal makes of it
		strings.ReplaceAll(t, "'", `'\''`), strings.ReplaceAll(t, "'", `'"'"'`), // sh -x
		hex.EncodeToString([]byte(t)), strings.ToUpper(hex.EncodeToString([]byte(t))),
	}
	list = append(list, inURL(t)...)
	return append(list, inJSON(t)...)
}

// inURL escapes as RFC 3986 allows it, and as forms, JavaScript's
// encodeURIComponent, Python's quote and Go's PathEscape do.
func inURL(t string) []string {
	var list []string
	for _, keep := range []string{"", "/", "!'()*", "$&+:=@", "/:@!$&'()*+,;="} {
		upper := percent(t, keep, "%%%02X")
		list = append(list, upper, percent(t, keep, "%%%02x"), strings.ReplaceAll(upper, "%20", "+"))
	}
	return list
}

func percent(t, keep, format string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for i := range len(t) {
		if strings.IndexByte(unreserved, t[i]) >= 0 || strings.IndexByte(keep, t[i]) >= 0 {
			b.WriteByte(t[i])
		} else {
			fmt.Fprintf(&b, format, t[i])
		}
	}
	return b.String()
}

// inJSON escapes as JSON writers do: the least, with HTML's characters, with
// slashes, and in ASCII alone. The least is what a shell's $'…' and Go's %q
// make of most texts, too.
func inJSON(t string) []string {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	html, err := json.Marshal(t)
	if err != nil || e.Encode(t) != nil {
		return nil
	}
	least := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(plain.String(), "\n"), `"`), `"`)
	return []string{
		least,
		strings.TrimSuffix(strings.TrimPrefix(string(html), `"`), `"`),
		strings.ReplaceAll(least, "/", `\/`),
		ascii(least), ascii(string(html[1 : len(html)-1])),
	}
}

// ascii escapes all that is not ASCII, in units of UTF-16.
func ascii(t string) string {
	var b strings.Builder
	for _, r := range t {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}

// inBase64 encodes a text as it looks inside something larger: three bytes
// become four characters, so it depends on where it begins. Of the characters
// at both ends only those are looked for that it determines alone; at its end
// also those that it has when nothing or a line end follows.
func inBase64(t string) []string {
	var list []string
	for before := range 3 {
		// Bytes before it determine the first 0, 2 or 3 characters, alone or with it.
		skip := []int{0, 2, 3}[before]
		for _, end := range []string{"", "\n"} {
			whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + t + end))[skip:]
			bare := strings.TrimRight(whole, "=")
			list = append(list, whole, bare)
		}
		raw := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + t))
		if (before+len(t))%3 != 0 {
			raw = raw[:len(raw)-1] // what follows has a part in it
		}
		list = append(list, raw[skip:])
	}
	for _, f := range list[:len(list):len(list)] {
		if strings.ContainsAny(f, "+/") {
			list = append(list, strings.NewReplacer("+", "-", "/", "_").Replace(f))
		}
	}
	return list
}
