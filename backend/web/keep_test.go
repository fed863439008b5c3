package web_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestKeepOfAll sets what jobs keep, and what all keep together, for the whole system.
func TestKeepOfAll(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(ci.RoleAdmin)
	form := func(version string, more url.Values) url.Values {
		f := settingsForm()
		f.Set("version", version)
		for k, v := range more {
			f[k] = v
		}
		return f
	}
	p := b.submit("/ui/settings", "/ui/settings", form("1", url.Values{
		"agentRetention": {"48h"}, "keep.runs.count": {"100"}, "keep.results.age": {"168h"}, "keep.results.bytes": {"10GiB"}, "keepTotal.console.bytes": {"512 MiB"},
	}))
	require.Contains(t, p.body, "The settings were saved.")
	lawful(t, p)
	c, err := s.admin.GetConfig(t.Context())
	require.NoError(t, err)
	require.Equal(t, ci.Duration(48*time.Hour), c.AgentRetention)
	require.Equal(t, &ci.Keep{Runs: &ci.Limits{Count: 100}, Results: &ci.Limits{Age: ci.Duration(168 * time.Hour), Bytes: 10 << 30}}, c.Keep)
	require.Equal(t, &ci.Keep{Console: &ci.Limits{Bytes: 512 << 20}}, c.KeepTotal)
	for _, want := range []string{`name="keep.runs.count" value="100"`, `name="keep.results.age" value="168h"`, `name="keep.results.bytes" value="10GiB"`, `name="keepTotal.console.bytes" value="512MiB"`} {
		require.Contains(t, p.body, want, "the form shows what it has set")
	}

	for name, bad := range map[string]url.Values{
		`&#34;soon&#34; is not a duration`: {"keep.runs.age": {"soon"}},
		`&#34;ten&#34; is not a number`:    {"keepTotal.results.count": {"ten"}},
		`&#34;much&#34; is not a size`:     {"keep.console.bytes": {"much"}},
		"keep.runs.count":                  {"keep.runs.count": {"-1"}},
		"keepTotal.runs.age":               {"keepTotal.runs.age": {"1h"}},
		"is not between 1m0s and 876":      {"keep.runs.age": {"1s"}},
	} {
		p := b.submit("/ui/settings", "/ui/settings", form("2", bad))
		require.Equal(t, 400, p.status, name)
		require.Contains(t, p.body, name)
	}
	p = b.submit("/ui/settings", "/ui/settings", form("2", nil))
	require.Contains(t, p.body, "The settings were saved.")
	c, err = s.admin.GetConfig(t.Context())
	require.NoError(t, err)
	require.Nil(t, c.Keep, "empty fields are no limits")
	require.Nil(t, c.KeepTotal)
}

// TestKeepOfAJob sets what one job keeps instead, and takes it back.
func TestKeepOfAJob(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, err := s.admin.GetConfig(t.Context())
	require.NoError(t, err)
	c.Keep = &ci.Keep{Results: &ci.Limits{Age: ci.Duration(time.Hour), Count: 5}}
	_, err = s.admin.PutConfig(t.Context(), c, 0)
	require.NoError(t, err)
	job, _, err := s.admin.PutJob(t.Context(), &ci.Job{
		Name: "unit", Freestyle: []byte(`{"script": "true"}`), Parameters: []ci.Parameter{{Name: "LEVEL", Default: "1"}}, Triggers: []string{"other"}, Owner: "us",
	}, 0)
	require.NoError(t, err)

	b := s.signedIn(ci.RoleAdmin)
	page, to := "/ui/jobs/unit/settings", "/ui/jobs/unit/keep"
	require.Contains(t, b.get("/ui/jobs/unit").body, page)
	p := b.get(page)
	lawful(t, p)
	require.Contains(t, p.body, "empty: for 1h, the newest 5")
	require.Contains(t, p.body, "kept as code by us")
	p = b.submit(page, to, url.Values{"version": {"1"}, "keep.runs.age": {"720h"}, "keep.console.all": {"1"}})
	require.Contains(t, p.body, "What the job keeps was saved.")
	require.Contains(t, p.body, `name="keep.runs.age" value="720h"`)
	require.Regexp(t, `name="keep\.console\.all" value="1" checked`, p.body)
	require.Contains(t, b.get("/ui/jobs/unit").body, "whole runs: for 720h; consoles: all")
	got, err := s.admin.GetJob(t.Context(), "unit")
	require.NoError(t, err)
	require.Equal(t, &ci.Keep{Runs: &ci.Limits{Age: ci.Duration(720 * time.Hour)}, Console: &ci.Limits{}}, got.Keep)
	got.Keep, got.Version, got.UpdatedAt = job.Keep, job.Version, job.UpdatedAt
	require.Equal(t, job, got, "the rest is as it was")

	require.Equal(t, 412, b.submit(page, to, url.Values{"version": {"1"}, "keep.runs.count": {"1"}}).status, "somebody has changed it meanwhile")
	p = b.submit(page, to, url.Values{"version": {"2"}, "keep.runs.count": {"3"}, "keep.runs.all": {"1"}})
	require.Equal(t, 400, p.status)
	require.Contains(t, p.body, "keep.runs")
	require.Contains(t, p.body, "not both")
	p = b.submit(page, to, url.Values{"version": {"2"}, "keep.runs.age": {"30d"}})
	require.Equal(t, 400, p.status)
	require.Contains(t, p.body, `&#34;30d&#34; is not a duration such as 90m or 720h; leave it empty for no limit`)
	require.Equal(t, 403, b.post(to, url.Values{"version": {"2"}}).status, "a form without its value")

	require.Contains(t, b.submit(page, to, url.Values{"version": {"2"}}).body, "was saved")
	got, err = s.admin.GetJob(t.Context(), "unit")
	require.NoError(t, err)
	require.Nil(t, got.Keep, "empty rows leave it to the settings for all")
	require.Equal(t, 404, b.get("/ui/jobs/none/settings").status)
}
