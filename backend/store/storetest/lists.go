package storetest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// population is runs of all kinds, oldest first.
func population(k *kit, n int) []ci.Run {
	pick := func(list []string, i int) string { return list[i%len(list)] }
	var list []ci.Run
	for i := range n {
		r := k.insert(ci.PhaseQueued, func(r *ci.Run) {
			r.Job = pick([]string{"a", "b", "c"}, i)
			r.BranchName = pick([]string{"main", "main", "dev", ""}, i/2)
			r.CommitSHA = pick([]string{"c0", "", "c1", "c2", "c3"}, i)
			r.Times.Triggered = at(i)
			if o := pick([]string{"", "succeeded", "succeeded", "failed", "aborted"}, i/3); o != "" {
				done(ci.Outcome(o))(r)
			}
		})
		list = append(list, *r)
	}
	// Two runs that were triggered together, whose ids are in the other order than their times.
	k.do(func(tx *store.Tx) error {
		_, err := tx.Exec(k.ctx, "UPDATE runs SET triggered_at = ? WHERE id = ?", list[n/2].Times.Triggered.UnixMicro()+1, list[n/2-1].ID)
		return err
	})
	list[n/2-1] = *k.get(list[n/2-1].ID)
	slices.Reverse(list)
	return list
}

// fits is what a filter means.
func fits(r ci.Run, f ci.RunFilter) bool {
	return (f.Job == "" || r.Job == f.Job) &&
		(f.Status == "" || r.Status == f.Status) &&
		(f.Outcome == "" || r.Outcome == f.Outcome) &&
		(f.BranchName == "" || r.BranchName == f.BranchName) &&
		(f.CommitSHA == "" || r.CommitSHA == f.CommitSHA) &&
		(f.Since.IsZero() || !r.Times.Triggered.Before(f.Since)) &&
		(f.Before == 0 || r.ID < f.Before) &&
		(f.Jobs == nil || slices.Contains(f.Jobs, r.Job))
}

// filters compares every combination with a plain search through all runs.
func filters(t *testing.T, k *kit) {
	all := population(k, 60)
	for _, job := range []string{"", "a", "none"} {
		for _, status := range []ci.Status{"", ci.StatusDone, ci.StatusInProgress} {
			for _, outcome := range []ci.Outcome{"", ci.OutcomeFailed} {
				for _, branch := range []string{"", "main"} {
					for _, sha := range []string{"", "c2"} {
						for _, since := range []int{0, 30, 1000} {
							for _, before := range []int64{0, all[10].ID} {
								for _, jobs := range [][]string{nil, {}, {"b", "a"}} {
									f := ci.RunFilter{Job: job, Status: status, Outcome: outcome, BranchName: branch, CommitSHA: sha, Before: before, Jobs: jobs}
									if since > 0 {
										f.Since = at(since)
									}
									checkFilter(t, k, all, f)
								}
							}
						}
					}
				}
			}
		}
	}
}

func checkFilter(t *testing.T, k *kit, all []ci.Run, f ci.RunFilter) {
	t.Helper()
	const limit = 12
	want := []ci.Run{}
	for _, r := range all {
		if fits(r, f) && len(want) < limit {
			want = append(want, r)
		}
	}
	got, err := k.ListRuns(k.ctx, f, limit)
	require.NoError(t, err)
	require.Equal(t, ids(want), ids(got), "%+v", f)
}

// pages reads all runs page by page while new ones arrive.
func pages(t *testing.T, k *kit) {
	all := population(k, 23)
	for _, f := range []ci.RunFilter{{}, {Job: "a"}, {Jobs: []string{"a", "c"}}} {
		var want, got []int64
		for _, r := range all {
			if fits(r, f) {
				want = append(want, r.ID)
			}
		}
		for {
			page, err := k.ListRuns(k.ctx, f, 5)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			got = append(got, ids(page)...)
			f.Before = page[len(page)-1].ID
			k.insert(ci.PhasePlanning, func(r *ci.Run) { r.Job = "z" })
		}
		require.Equal(t, want, got)
	}
}

func limited(t *testing.T, k *kit) {
	k.insert(ci.PhaseQueued)
	many := make([]string, 300)
	for i := range many {
		many[i] = "it's job " + string(rune('A'+i))
	}
	got, err := k.ListRuns(k.ctx, ci.RunFilter{Jobs: append(many, "build")}, 5)
	require.NoError(t, err)
	require.Len(t, got, 1)
	_, err = k.ListRuns(k.ctx, ci.RunFilter{Jobs: make([]string, 1000)}, 5)
	requireCode(t, ci.CodeInvalid, err, "1000")
	got, err = k.ListRuns(k.ctx, ci.RunFilter{Job: "build", Jobs: []string{"other"}}, 5)
	require.NoError(t, err)
	require.Empty(t, got)
}

// seeded checks what Seed promises.
func seeded(t *testing.T, k *kit) {
	require.NoError(t, Seed(k.ctx, k.Store, 1200))
	r, err := k.GetRun(k.ctx, SeedJob, 500)
	require.NoError(t, err)
	require.True(t, r.Done())
	require.NotNil(t, r.Spec)
	for _, f := range []struct {
		ci.RunFilter
		want int
	}{
		{ci.RunFilter{Job: SeedMainJob, BranchName: "main"}, 24},
		{ci.RunFilter{Job: SeedRareJob}, 1},
		{ci.RunFilter{Status: ci.StatusDone}, 1200},
		{ci.RunFilter{CommitSHA: r.CommitSHA}, 1},
	} {
		list, err := k.ListRuns(k.ctx, f.RunFilter, 2000)
		require.NoError(t, err)
		require.Len(t, list, f.want)
		require.Len(t, list[0].CommitSHA, 40)
	}
}
