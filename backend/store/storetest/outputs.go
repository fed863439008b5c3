package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func results(t *testing.T, k *kit) {
	r := k.insert(ci.PhaseCollecting)
	put := func(run int64, name string, size int64) error {
		return k.write(func(tx *store.Tx) error {
			return tx.PutResult(k.ctx, ci.Result{Run: run, Name: name, Size: size, CreatedAt: at(1)})
		})
	}
	require.NoError(t, put(r.ID, "junit", 1))
	require.NoError(t, put(r.ID, "app", 2))
	require.NoError(t, put(r.ID, "junit", 3))
	list, err := k.ListResults(k.ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, []ci.Result{{Run: r.ID, Name: "app", Size: 2, CreatedAt: at(1)}, {Run: r.ID, Name: "junit", Size: 3, CreatedAt: at(1)}}, list)
	_, err = k.GetResult(k.ctx, r.ID, "none")
	requireCode(t, ci.CodeNotFound, err, `"none"`)
	list, err = k.ListResults(k.ctx, 1<<40)
	require.NoError(t, err)
	require.Empty(t, list)

	k.do(func(tx *store.Tx) error {
		_, err := tx.FinishRun(k.ctx, r.ID, nil, nil, ci.End{Outcome: ci.OutcomeSucceeded}, at(9))
		return err
	})
	requireCode(t, ci.CodeConflict, put(r.ID, "junit", 4), "done (succeeded)")
	requireCode(t, ci.CodeNotFound, put(1<<40, "junit", 4))

	newer := k.insert(ci.PhaseCollecting)
	require.NoError(t, put(newer.ID, "coverage", 1))
	require.NoError(t, put(k.insert(ci.PhaseCollecting, func(r *ci.Run) { r.Job = "other" }).ID, "foreign", 1))
	names, err := k.JobResults(k.ctx, "build", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"app", "coverage", "junit"}, names)
	names, err = k.JobResults(k.ctx, "build", 1)
	require.NoError(t, err)
	require.Equal(t, []string{"coverage"}, names)
	names, err = k.JobResults(k.ctx, "none", 10)
	require.NoError(t, err)
	require.Empty(t, names)
}

func chunks(t *testing.T, k *kit) {
	run := k.insert(ci.PhaseRunning).ID
	add := func(offset, length int64) error {
		return k.AddChunk(k.ctx, ci.Chunk{Run: run, Offset: offset, Length: length, Data: []byte{0, 1, 255}, At: at(1)})
	}
	offsets := func(from int64, limit int) []int64 {
		list, err := k.Chunks(k.ctx, run, from, limit)
		require.NoError(t, err)
		got := []int64{}
		for _, c := range list {
			got = append(got, c.Offset)
		}
		return got
	}
	require.Empty(t, offsets(0, 9))
	requireCode(t, ci.CodeConflict, add(1, 5), "ends at byte 0")
	require.NoError(t, add(0, 10))
	requireCode(t, ci.CodeConflict, add(0, 10), "ends at byte 10")
	requireCode(t, ci.CodeConflict, add(5, 10))
	requireCode(t, ci.CodeConflict, add(11, 1))
	requireCode(t, ci.CodeInvalid, add(10, 0))
	require.NoError(t, add(10, 5))
	require.NoError(t, add(15, 100))
	end, err := k.ConsoleEnd(k.ctx, run)
	require.NoError(t, err)
	require.Equal(t, int64(115), end)
	end, err = k.ConsoleEnd(k.ctx, run+1)
	require.NoError(t, err)
	require.Zero(t, end)

	require.Equal(t, []int64{0, 10, 15}, offsets(0, 9))
	require.Equal(t, []int64{0, 10}, offsets(0, 2))
	require.Equal(t, []int64{0, 10, 15}, offsets(9, 9))
	require.Equal(t, []int64{10, 15}, offsets(10, 9))
	require.Equal(t, []int64{15}, offsets(114, 9))
	require.Empty(t, offsets(115, 9))
	require.Empty(t, offsets(1<<40, 9))

	times, err := k.ConsoleTimes(k.ctx, run, 10, 9)
	require.NoError(t, err)
	require.Equal(t, []ci.ConsoleTime{{Offset: 10, Length: 5, At: at(1)}, {Offset: 15, Length: 100, At: at(1)}}, times)
	times, err = k.ConsoleTimes(k.ctx, run, 9, 2)
	require.NoError(t, err)
	require.Equal(t, []ci.ConsoleTime{{Offset: 0, Length: 10, At: at(1)}, {Offset: 10, Length: 5, At: at(1)}}, times)
	times, err = k.ConsoleTimes(k.ctx, run, 115, 9)
	require.NoError(t, err)
	require.Empty(t, times)
}
