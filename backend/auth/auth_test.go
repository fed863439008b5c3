package auth

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// book keeps tokens in memory and counts how often it is asked.
type book struct {
	mu    sync.Mutex
	rows  map[string]ci.Token
	runs  map[int64]ci.RunToken
	asked int
	down  error
}

func (b *book) GetToken(_ context.Context, id string) (*ci.Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	t, ok := b.rows[id]
	if b.down != nil {
		return nil, b.down
	}
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no token %s", id)
	}
	return &t, nil
}

func (b *book) PutToken(_ context.Context, t *ci.Token) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows[t.ID] = *t
	return nil
}

func (b *book) RunToken(_ context.Context, run int64) (*ci.RunToken, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.runs[run]
	if b.down != nil {
		return nil, b.down
	}
	if !ok {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no token of run %d", run)
	}
	return &t, nil
}

func (b *book) change(id string, f func(*ci.Token)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.rows[id]
	f(&t)
	b.rows[id] = t
}

// clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

type fixture struct {
	*Authority
	book  *book
	clock *clock
	key   ed25519.PrivateKey
}

func setup(t testing.TB) *fixture {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	f := &fixture{book: &book{rows: map[string]ci.Token{}}, clock: &clock{time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, key: key}
	f.Authority, err = New(f.book, key, f.clock.now)
	require.NoError(t, err)
	return f
}

func (f *fixture) mint(t testing.TB, token ci.Token) (string, ci.Token) {
	t.Helper()
	bearer, recorded, err := f.Mint(context.Background(), token)
	require.NoError(t, err)
	return bearer, recorded
}

func TestMintAndVerify(t *testing.T) {
	t.Parallel()
	f := setup(t)
	bearer, token := f.mint(t, ci.Token{Name: "bot", Role: ci.RoleTrigger, Jobs: []string{"a", "b"}})
	require.Equal(t, 2, strings.Count(bearer, "."))
	p, err := f.Verify(t.Context(), bearer)
	require.NoError(t, err)
	require.Equal(t, Principal{TokenID: token.ID, Name: "bot", Role: ci.RoleTrigger, Jobs: []string{"a", "b"}}, p)
	_, _, err = f.Mint(t.Context(), ci.Token{Name: "bot", Role: "root"})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
}

func TestLife(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ctx := t.Context()
	bearer, token := f.mint(t, ci.Token{Name: "short", Role: ci.RoleRead, ExpiresAt: f.clock.at.Add(time.Hour)})
	_, err := f.Verify(ctx, bearer)
	require.NoError(t, err)

	f.book.change(token.ID, func(t *ci.Token) { t.RevokedAt = f.clock.at })
	_, err = f.Verify(ctx, bearer)
	require.NoError(t, err, "the row is believed for a moment")
	f.clock.at = f.clock.at.Add(trust)
	_, err = f.Verify(ctx, bearer)
	require.ErrorContains(t, err, "was revoked")
	f.book.change(token.ID, func(t *ci.Token) { t.RevokedAt = time.Time{} })
	f.Forget(token.ID)
	_, err = f.Verify(ctx, bearer)
	require.NoError(t, err, "forgotten rows are read again at once")

	f.book.change(token.ID, func(t *ci.Token) { t.Role = ci.RoleAdmin })
	f.Forget(token.ID)
	_, err = f.Verify(ctx, bearer)
	require.ErrorContains(t, err, "is not what was recorded")
	f.book.change(token.ID, func(t *ci.Token) { t.Role = ci.RoleRead })

	f.clock.at = f.clock.at.Add(time.Hour + leeway + time.Second)
	_, err = f.Verify(ctx, bearer)
	require.ErrorContains(t, err, "has expired")

	bearer, token = f.mint(t, ci.Token{Name: "gone", Role: ci.RoleRead})
	delete(f.book.rows, token.ID)
	_, err = f.Verify(ctx, bearer)
	require.ErrorContains(t, err, "is not known here")
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err))

	bearer, _ = f.mint(t, ci.Token{Name: "later", Role: ci.RoleRead})
	f.clock.at = f.clock.at.Add(-2 * time.Minute)
	_, err = f.Verify(ctx, bearer)
	require.ErrorContains(t, err, "from the future")

	f.clock.at = f.clock.at.Add(3 * time.Minute)
	f.book.down = ci.Errorf(ci.CodeUnavailable, "the database is away")
	_, err = f.Verify(ctx, bearer)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	f.book.down = nil
	_, err = f.Verify(ctx, bearer)
	require.NoError(t, err, "a failing database is not remembered")
}

// TestForgery tries what RFC 8725 warns of.
func TestForgery(t *testing.T) {
	t.Parallel()
	f := setup(t)
	bearer, token := f.mint(t, ci.Token{Name: "bot", Role: ci.RoleRead})
	admin, _ := f.mint(t, ci.Token{Name: "boss", Role: ci.RoleAdmin})
	parts, others := strings.Split(bearer, "."), strings.Split(admin, ".")
	enc := base64.RawURLEncoding.EncodeToString
	signed := func(head, payload string) string {
		text := enc([]byte(head)) + "." + enc([]byte(payload))
		return text + "." + enc(ed25519.Sign(f.key, []byte(text)))
	}
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	require.NoError(t, err)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	_, err = f.Verify(t.Context(), signed(string(head), string(payload)))
	require.NoError(t, err, "the test can sign")

	foreign := setup(t)
	stranger, _ := foreign.mint(t, ci.Token{Name: "bot", Role: ci.RoleAdmin})
	twice := strings.Replace(string(payload), `{"iss"`, `{"sub":"boss","iss"`, 1)
	wrongAud := strings.Replace(string(payload), `"ci-api"`, `"ci-agent"`, 1)
	require.NotEqual(t, string(payload), wrongAud)
	lastBit := []byte(parts[2])
	lastBit[len(lastBit)-1] ^= 1
	for name, bad := range map[string]string{
		"empty":            "",
		"one part":         parts[0],
		"four dots":        bearer + "..",
		"four parts":       bearer + ".x",
		"no signature":     parts[0] + "." + parts[1] + ".",
		"alg none":         enc([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg none, signed": signed(`{"alg":"none"}`, string(payload)),
		"alg HS256":        signed(`{"alg":"HS256","typ":"JWT"}`, string(payload)),
		"other key":        stranger,
		"swapped payload":  parts[0] + "." + others[1] + "." + parts[2],
		"swapped sign":     parts[0] + "." + parts[1] + "." + others[2],
		"padded":           bearer + "=",
		"line end":         parts[0] + "." + parts[1] + "\n." + parts[2],
		"spare bits":       parts[0] + "." + parts[1] + "." + string(lastBit),
		"two subjects":     signed(string(head), twice),
		"wrong audience":   signed(string(head), wrongAud),
		"spaces in JSON":   signed(string(head), strings.Replace(string(payload), ":", ": ", 1)),
		"trailing bytes":   signed(string(head), string(payload)+" "),
		"unknown claim":    signed(string(head), strings.Replace(string(payload), `{"iss"`, `{"admin":true,"iss"`, 1)),
		"another case":     signed(string(head), strings.Replace(string(payload), `"jti"`, `"JTI"`, 1)),
		"a megabyte":       strings.Repeat("a", 1<<20),
	} {
		_, err := f.Verify(t.Context(), bad)
		require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), "%s: %v", name, err)
		require.NotContains(t, err.Error(), token.ID)
	}
}

func TestOldKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	bearer, _ := f.mint(t, ci.Token{Name: "bot", Role: ci.RoleRead})
	_, next, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	rotated, err := New(f.book, next, f.clock.now, f.key.Public().(ed25519.PublicKey))
	require.NoError(t, err)
	_, err = rotated.Verify(t.Context(), bearer)
	require.NoError(t, err)
	fresh, _, err := rotated.Mint(t.Context(), ci.Token{Name: "new", Role: ci.RoleRead})
	require.NoError(t, err)
	_, err = f.Verify(t.Context(), fresh)
	require.Error(t, err, "the old one does not know the new key")
}

// TestOneQuestion asks for one token many times at once.
func TestOneQuestion(t *testing.T) {
	t.Parallel()
	f := setup(t)
	bearer, _ := f.mint(t, ci.Token{Name: "bot", Role: ci.RoleRead})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := f.Verify(context.Background(), bearer)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, f.book.asked, 50)
	before := f.book.asked
	_, err := f.Verify(t.Context(), bearer)
	require.NoError(t, err)
	require.Equal(t, before, f.book.asked)
}

func TestNew(t *testing.T) {
	t.Parallel()
	_, err := New(nil, nil, nil)
	require.Error(t, err)
}

func FuzzOpen(f *testing.F) {
	fx := setup(f)
	bearer, _ := fx.mint(f, ci.Token{Name: "bot", Role: ci.RoleRead})
	f.Add(bearer)
	f.Add("a.b.c")
	f.Add(strings.Replace(bearer, ".", "..", 1))
	f.Fuzz(func(t *testing.T, s string) {
		c, err := fx.signer.open(s)
		if (err == nil) != (s == bearer) {
			b, _ := json.Marshal(c)
			t.Fatalf("%q was accepted as %s", s, b)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	f := setup(b)
	bearer, _ := f.mint(b, ci.Token{Name: "bot", Role: ci.RoleRead})
	for b.Loop() {
		if _, err := f.Verify(context.Background(), bearer); err != nil {
			b.Fatal(err)
		}
	}
}
