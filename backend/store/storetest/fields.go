package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// everyField fills every field of every word by reflection, stores it and
// reads it back: a field that the store forgets makes this test red.
func everyField(t *testing.T, k *kit) {
	run := filled[ci.Run](t, 100)
	k.do(func(tx *store.Tx) error { return tx.InsertRun(k.ctx, run) })
	got, err := k.GetRun(k.ctx, "", run.ID)
	same(t, run, got, err)
	list, err := k.ListRuns(k.ctx, ci.RunFilter{}, 1)
	require.NoError(t, err)
	require.Len(t, list, 1)
	list[0].Spec, list[0].Steps, list[0].Images = run.Spec, run.Steps, run.Images // too large for lists
	same(t, run, &list[0], nil)

	job := filled[ci.Job](t, 100)
	k.do(func(tx *store.Tx) error { _, err := tx.PutJob(k.ctx, job, 0); return err })
	gotJob, err := k.GetJob(k.ctx, job.Name)
	same(t, job, gotJob, err)

	token := filled[ci.Token](t, 100)
	k.do(func(tx *store.Tx) error { return tx.PutToken(k.ctx, token) })
	gotToken, err := k.GetToken(k.ctx, token.ID)
	same(t, token, gotToken, err)

	agent, drain := filled[ci.Agent](t, 100), filled[ci.Drain](t, 100)
	k.do(func(tx *store.Tx) error { return tx.PutAgent(k.ctx, agent) })
	gotAgent, err := k.GetAgent(k.ctx, agent.ID)
	same(t, agent, gotAgent, err)
	k.do(func(tx *store.Tx) error { return tx.SetDrain(k.ctx, agent.ID, drain) })
	gotDrain, err := k.GetDrain(k.ctx, agent.ID)
	require.NoError(t, err)
	require.False(t, gotDrain.Leaving)
	require.Nil(t, gotDrain.Runs)
	gotDrain.Leaving, gotDrain.Runs = drain.Leaving, drain.Runs // no part of an order
	same(t, drain, gotDrain, err)

	config := filled[ci.Config](t, 100)
	k.do(func(tx *store.Tx) error { return tx.PutConfig(k.ctx, config, 0) })
	gotConfig, err := k.GetConfig(k.ctx)
	same(t, config, gotConfig, err)

	event := filled[ci.Event](t, 100)
	k.do(func(tx *store.Tx) error { return tx.AddEvent(k.ctx, event) })
	k.settled(event.Seq)
	gotEvents, err := k.Events(k.ctx, 0, 10, "", nil)
	require.Len(t, gotEvents, 1)
	same(t, event, &gotEvents[0], err)

	open := filled[ci.OpenCheck](t, 100)
	open.Run = 0 // it has Held
	k.do(func(tx *store.Tx) error { return tx.OpenCheck(k.ctx, *open) })
	gotCheck := k.claimChecks("a", 0)
	require.Len(t, gotCheck, 1)
	require.Zero(t, gotCheck[0].Run)
	open.Run, gotCheck[0].Run = 1, 1
	same(t, open, &gotCheck[0].OpenCheck, nil)

	everyFieldOfSealed(t, k, job.Name)
	everyFieldOfARun(t, k)
}

// everyFieldOfSealed does so for what has a sealed value; the store sets versions and times itself.
func everyFieldOfSealed(t *testing.T, k *kit, job string) {
	secret, registry := filled[ci.Secret](t, 100), filled[ci.Registry](t, 100)
	secret.Job = job
	k.do(func(tx *store.Tx) error { return tx.PutSecret(k.ctx, secret, []byte{1}) })
	secrets, err := k.ListSecrets(k.ctx, job)
	require.Len(t, secrets, 1)
	same(t, secret, &secrets[0], err)
	k.do(func(tx *store.Tx) error { return tx.PutRegistry(k.ctx, registry, []byte{1}) })
	registries, err := k.ListRegistries(k.ctx)
	require.Len(t, registries, 1)
	same(t, registry, &registries[0], err)
}

// everyFieldOfARun does so for what belongs to a run.
func everyFieldOfARun(t *testing.T, k *kit) {
	run := k.insert(ci.PhaseRunning)
	result := filled[ci.Result](t, 100)
	result.Run = run.ID
	k.do(func(tx *store.Tx) error { return tx.PutResult(k.ctx, *result) })
	gotResult, err := k.GetResult(k.ctx, run.ID, result.Name)
	same(t, result, gotResult, err)
	// The same name again replaces every field.
	other := filled[ci.Result](t, 900)
	other.Run, other.Name = run.ID, result.Name
	require.NotEqual(t, result.Size, other.Size)
	k.do(func(tx *store.Tx) error { return tx.PutResult(k.ctx, *other) })
	gotResult, err = k.GetResult(k.ctx, run.ID, result.Name)
	same(t, other, gotResult, err)

	chunk := filled[ci.Chunk](t, 100)
	chunk.Run = run.ID
	k.do(func(tx *store.Tx) error {
		if err := tx.AddChunk(k.ctx, ci.Chunk{Run: run.ID, Length: chunk.Offset, Key: "first"}); err != nil {
			return err
		}
		return tx.AddChunk(k.ctx, *chunk)
	})
	gotChunks, err := k.Chunks(k.ctx, run.ID, chunk.Offset, 10)
	require.Len(t, gotChunks, 1)
	same(t, chunk, &gotChunks[0], err)
}

func same[T any](t *testing.T, want, got *T, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, name := range zeros(reflect.ValueOf(got).Elem(), reflect.TypeFor[T]().Name()) {
		t.Errorf("%s is zero after it was stored", name)
	}
}

// filler counts, so that no two fields hold the same.
type filler struct {
	t *testing.T
	n int
}

// filled returns a T with something in every field; from tells two of them apart.
func filled[T any](t *testing.T, from int) *T {
	var v T
	f := filler{t: t, n: from}
	f.fill(reflect.ValueOf(&v).Elem())
	return &v
}

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(at(f.n).Add(time.Duration(f.n) * time.Microsecond)))
		return
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes(fmt.Appendf(nil, `{"bytes":%d}`, f.n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("ü'\"?\\%%%d <&>\n$1", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Float64:
		v.SetFloat(float64(f.n) + 0.1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	default:
		f.t.Fatalf("filling %s is not written yet", v.Type())
	}
}

// zeros names the fields that hold nothing.
func zeros(v reflect.Value, name string) (list []string) {
	switch {
	case v.IsZero():
		return []string{name}
	case v.Kind() == reflect.Pointer:
		return zeros(v.Elem(), name)
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			list = append(list, zeros(v.Field(i), name+"."+v.Type().Field(i).Name)...)
		}
	}
	return list
}
