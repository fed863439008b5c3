package convert

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// filler fills every field of a word with a value of its own, so that a field
// that is forgotten, or mixed up with another, does not come back as it was.
type filler struct{ n int64 }

func (f *filler) fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	f.n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+f.n, f.n*1000).UTC()))
		return
	case ci.Duration:
		v.Set(reflect.ValueOf(ci.Duration(time.Duration(f.n) * time.Second)))
		return
	case time.Duration:
		v.Set(reflect.ValueOf(time.Duration(f.n) * time.Second))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s-%d", path, f.n))
	case reflect.Int, reflect.Int64:
		v.SetInt(f.n)
	case reflect.Float64:
		v.SetFloat(float64(f.n) + 0.5)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(t, v.Elem(), path)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(fmt.Appendf(nil, `{"n":%d}`, f.n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(t, v.Index(0), path+"[0]")
		f.fill(t, v.Index(1), path+"[1]")
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(t, key, path+".key")
		f.fill(t, value, path+".value")
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	default:
		t.Fatalf("%s: the test can't fill a %s", path, v.Type())
	}
}

// stays lists the fields that do not travel, each with the reason.
var stays = map[string]string{
	"Run.Claim":           "a secret between the backend and one agent",
	"Run.LeaseUntil":      "the backend's own book-keeping",
	"Run.Deadline":        "the backend's own book-keeping",
	"Work.Run.Claim":      "the agent has made it",
	"Work.Run.LeaseUntil": "the backend's own book-keeping",
	"Work.Run.Deadline":   "the backend's own book-keeping",
	"Claim.Agent":         "the server knows who calls",
	"Trigger.By":          "the server knows who calls",
	"Trigger.Parent":      "the server knows who calls",
	"Trigger.Origin":      "the server alone hears of events",
	"Trigger.Trace":       "it goes in a header",
	"Webhook.Body":        "what a forge tells is the backend's alone",
	"Webhook.Digest":      "the backend's own book-keeping",
	"Webhook.Trace":       "what it started says it",
}

// cross checks one word: filled, to the wire, through its bytes, and back.
func cross[W any, M proto.Message](t *testing.T, to func(*W) M, from func(M) W) {
	t.Helper()
	name := reflect.TypeFor[W]().Name()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		var word W
		v := reflect.ValueOf(&word).Elem()
		new(filler).fill(t, v, name)
		for field := range stays {
			if f, ok := strings.CutPrefix(field, name+"."); ok {
				at := v
				for part := range strings.SplitSeq(f, ".") {
					at = at.FieldByName(part)
					require.True(t, at.IsValid(), "%s is gone: take it off the list", field)
				}
				at.SetZero()
			}
		}
		sent, err := proto.Marshal(to(&word))
		require.NoError(t, err)
		received := to(new(W)).ProtoReflect().New().Interface().(M)
		require.NoError(t, proto.Unmarshal(sent, received))
		require.Equal(t, word, from(received))

		empty := to(new(W))
		require.Equal(t, *new(W), from(empty), "the empty word")
	})
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	cross(t, must1(t, ToJob), must2(t, FromJob))
	cross(t, ToRun, pointed(FromRun))
	cross(t, ToTrigger, FromTrigger)
	cross(t, ToAgent, FromAgent)
	cross(t, ToDrain, FromDrain)
	cross(t, ToQueue, FromQueue)
	cross(t, ToReport, pointed(FromReport))
	cross(t, ToConfig, pointed(FromConfig))
	cross(t, ToToken, FromToken)
	cross(t, ToCaller, pointed(FromCaller))
	cross(t, ToEvent, FromEvent)
	cross(t, ToSpec, pointed(FromSpec))
	cross(t, ToSecret, FromSecret)
	cross(t, ToRegistry, FromRegistry)
	cross(t, ToSSHKey, FromSSHKey)
	cross(t, ToHostKey, FromHostKey)
	cross(t, ToForge, FromForge)
	cross(t, ToForgeAccess, FromForgeAccess)
	cross(t, ToEventTrigger, FromEventTrigger)
	cross(t, ToWebhook, FromWebhook)
	cross(t, ToWork, pointed(FromWork))
	cross(t, ToEnd, FromEnd)
	cross(t, ToClaim, FromClaim)
	cross(t, ToRetentionPlan, pointed(FromRetentionPlan))
	cross(t, ToPin, FromPin)
	cross(t, ToLane, FromLane)
	cross(t, ToVerdict, FromVerdict)
	cross(t, ToTerms, pointed(FromTerms))
	cross(t, func(r *ci.Result) *civ1.Result { return ToResult("a-job", r) }, FromResult)
}

func pointed[W, M any](from func(M) *W) func(M) W { return func(m M) W { return *from(m) } }

func must1[W, M any](t *testing.T, to func(*W) (M, error)) func(*W) M {
	return func(w *W) M {
		m, err := to(w)
		require.NoError(t, err)
		return m
	}
}

func must2[W, M any](t *testing.T, from func(M) (*W, error)) func(M) W {
	return func(m M) W {
		w, err := from(m)
		require.NoError(t, err)
		return *w
	}
}

func TestHref(t *testing.T) {
	t.Parallel()
	require.Equal(t, "/jobs/a/runs/7/results/junit", ToResult("a", &ci.Result{Run: 7, Name: "junit"}).GetHref())
}

func TestBadText(t *testing.T) {
	t.Parallel()
	run := ToRun(&ci.Run{Reason: "docker said \xff"})
	_, err := proto.Marshal(run)
	require.NoError(t, err)
}

// TestErrors sends every code through Connect and back.
func TestErrors(t *testing.T) {
	t.Parallel()
	for code := range kinds {
		in := &ci.Error{Code: code, Message: "It is so.", Fields: []ci.Field{{Path: "a[0].b", Message: "is wrong"}}}
		var out *ci.Error
		require.ErrorAs(t, FromConnect(ToConnect(in, "id")), &out)
		require.Equal(t, in.Code, out.Code)
		require.Equal(t, in.Message, out.Message)
		require.Equal(t, in.Fields, out.Fields)
		require.Equal(t, code, CodeOfStatus(Status(code)))
	}
	require.NoError(t, FromConnect(nil))
	hidden := ToConnect(fmt.Errorf("password is 12345"), "id")
	require.NotContains(t, hidden.Error(), "12345")
	require.Equal(t, connect.CodeInternal, hidden.Code())
}
