package rpc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

// Sizes of a page.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// page is one request for a part of a list.
type page struct {
	size  int
	after string // the last key of the page before; "" for the first page
	scope [scopeLen]byte
}

// A page token is base64url(sum ‖ key): sum binds the key to the list and its filters,
// so that a token of another list, or one that was mangled, is refused. It
// is no secret and needs none: all it can name is a place in a list.
const scopeLen = 8

// newPage reads a page's size and token. filters is any text that stands for the list's other parameters.
func newPage(list string, size uint32, token, filters string) (page, error) {
	p := page{size: int(size)}
	sum := sha256.Sum256([]byte(list + "\x00" + filters))
	copy(p.scope[:], sum[:])
	if size == 0 {
		p.size = DefaultPage
	}
	if size > MaxPage {
		return p, wrong("the request", "pageSize", "%d is not between 1 and %d", size, MaxPage)
	}
	if token == "" {
		return p, nil
	}
	after, ok := p.open(token)
	if !ok {
		return p, wrong("the request", "pageToken", "is not a nextPageToken of this list with these filters; begin again without it")
	}
	p.after = after
	return p, nil
}

func (p page) sum(key string) []byte {
	sum := sha256.Sum256(append(p.scope[:], key...))
	return sum[:scopeLen]
}

func (p page) seal(key string) string {
	return base64.RawURLEncoding.EncodeToString(append(p.sum(key), key...))
}

func (p page) open(token string) (string, bool) {
	if len(token) > 512 || strings.ContainsAny(token, "\r\n") {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= scopeLen {
		return "", false
	}
	key := string(b[scopeLen:])
	return key, bytes.Equal(b[:scopeLen], p.sum(key))
}

// cut takes the page out of a list that was asked for with one more than its
// size, and returns the next page's token.
func cut[T any](p page, list []T, key func(*T) string) ([]T, string) {
	if len(list) <= p.size {
		return list, ""
	}
	list = list[:p.size]
	return list, p.seal(key(&list[p.size-1]))
}

// filterText is a filter as a page token is bound to it.
func filterText(f ci.RunFilter) string {
	return strings.Join([]string{
		f.Job, string(f.Status), string(f.Outcome), f.BranchName, f.CommitSHA, f.Since.String(), strconv.FormatInt(f.Parent, 10),
	}, "\x00")
}
