package blob

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"ci/pkg/ci"
)

// Limits of a key, in bytes. S3 allows 1024 in all; the rest is for the
// bucket's prefix. A part is a file name.
const (
	MaxKey  = 900
	MaxPart = 255
)

// CheckKey wants parts joined by "/", none of them "." or "..", and no control
// characters or backslashes. Every store refuses any other key, with ci.CodeInvalid.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return ci.Errorf(ci.CodeInvalid, "an object's key has %d bytes; at most %d are allowed", len(key), MaxKey)
	}
	if !utf8.ValidString(key) {
		return ci.Errorf(ci.CodeInvalid, "the object key %q is not UTF-8", key)
	}
	for _, part := range strings.Split(key, "/") {
		if part == "" || part == "." || part == ".." {
			return ci.Errorf(ci.CodeInvalid, "the object key %q must be relative, without empty, '.' or '..' parts", key)
		}
		if len(part) > MaxPart {
			return ci.Errorf(ci.CodeInvalid, "a part of the object key %q has %d bytes; at most %d are allowed", key, len(part), MaxPart)
		}
		if strings.ContainsFunc(part, func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) }) {
			return ci.Errorf(ci.CodeInvalid, "the object key %q holds a backslash or a character that can't be printed", key)
		}
	}
	return nil
}

// CheckPrefix wants a key that is followed by "/".
func CheckPrefix(prefix string) error {
	key, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return ci.Errorf(ci.CodeInvalid, "the prefix %q must end in '/'", prefix)
	}
	return CheckKey(key)
}

// CheckRange wants an offset of 0 or more, and a length of 0 or more or -1.
func CheckRange(offset, length int64) error {
	if offset < 0 || length < -1 {
		return ci.Errorf(ci.CodeInvalid, "%d bytes from byte %d are no range of an object", length, offset)
	}
	return nil
}
