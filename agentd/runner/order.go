package runner

import (
	"cmp"
	"slices"
	"strconv"

	"ci/pkg/ci"
)

// order describes the run to the driver.
func (r *Runner) order() Order {
	run := &r.work.Run
	spec := *r.spec()
	spec.Environment.Workdir = cmp.Or(spec.Environment.Workdir, ci.DefaultWorkdir)
	o := Order{
		Run:            run.ID,
		Job:            run.Job,
		Spec:           spec,
		Env:            append(environment(run, r.work.URL), secretVariables(r.work.Secrets)...),
		MaxResult:      r.work.MaxResult,
		MaxResultFiles: r.work.MaxResultFiles,
		SSH:            r.work.SSH,
		HTTP:           r.work.HTTP,
		Registries:     r.work.Registries,
		Tell:           &r.story,
	}
	r.forward(&o)
	if run.Git != nil {
		o.Checkout = &Checkout{
			URL:        run.Git.URL,
			CommitSHA:  run.CommitSHA,
			Depth:      spec.Git.Depth,
			Submodules: spec.Git.Submodules,
		}
	}
	r.offerAPI(&o)
	return o
}

// environment is what every script finds beside its image's own environment:
// the parameters in the order of their names, then our words. Ours are always
// there, empty where a run has none, so that `set -u` scripts work with all runs.
func environment(run *ci.Run, url string) []string {
	env := make([]string, 0, len(run.Parameters)+6)
	for name, value := range run.Parameters {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	env = append(env,
		"CI=true",
		"CI_JOB="+run.Job,
		"CI_RUN_ID="+strconv.FormatInt(run.ID, 10),
		"CI_RUN_URL="+url,
		"CI_COMMIT_SHA="+run.CommitSHA,
		"CI_BRANCH_NAME="+run.BranchName,
	)
	return append(env, traceVariables(run)...)
}

// traceVariables let the script's own programs go on with the run's trace. They are
// there only where there is one: an empty one would be malformed. A parameter of the
// same name is the job's own word, and stays.
func traceVariables(run *ci.Run) (env []string) {
	place := run.ScriptTrace()
	if place == nil {
		return nil
	}
	if place = ci.ParseTrace(place.Parent(), place.State); place == nil {
		return nil // no backend of ours sends it
	}
	for _, v := range []struct{ name, value string }{{ci.TraceParentVariable, place.Parent()}, {ci.TraceStateVariable, place.State}} {
		if _, taken := run.Parameters[v.name]; !taken && v.value != "" {
			env = append(env, v.name+"="+v.value)
		}
	}
	return env
}

// secretVariables are the secrets, one variable each, in the order of their names.
func secretVariables(secrets map[string]string) []string {
	env := make([]string, 0, len(secrets))
	for name, value := range secrets {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}
