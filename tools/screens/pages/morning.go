package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"ci/e2e/rig"
)

// script of the tests: LEVEL says which of them fail.
const script = `echo '$ go test ./...'
for p in api:214 auth:031 billing:608 cache:112 config:009 events:377; do printf '\033[32mok\033[0m  \tshop/%s\t0.%ss\n' ${p%:*} ${p#*:}; done
case "$LEVEL" in
1) total='<failure message="want 0, got -1">orders_test.go:87: total of an empty cart: want 0, got -1
    at shop/orders.Total (orders.go:41)
    at shop/orders.TestTotalOfEmptyCart (orders_test.go:85)</failure>'; discount='<failure message="context deadline exceeded"/>' ;;
2) total=''; discount='<failure message="context deadline exceeded"/>' ;;
*) total=''; discount='' ;;
esac
cat > report.xml <<XML
<testsuites><testsuite name="shop/orders"><testcase classname="orders" name="TestTotalOfEmptyCart" time="0.012">$total</testcase><testcase classname="orders" name="TestDiscount" time="0.4">$discount</testcase><testcase classname="orders" name="TestShipping" time="0.02"/></testsuite><testsuite name="shop/api"><testcase classname="api" name="TestLogin" time="0.21"/><testcase classname="api" name="TestLogout" time="0.11"/><testcase classname="auth" name="TestToken" time="0.003"/><testcase classname="auth" name="TestOldToken" time="0"><skipped message="needs the old key"/></testcase></testsuite></testsuites>
XML
[ -z "$total$discount" ] && { printf '\033[32mok\033[0m  \tshop/orders\t0.398s\n'; exit 0; }
printf '\033[1;31mFAIL\033[0m\tshop/orders\t0.412s\n'
[ -z "$total" ] || printf 'orders_test.go:87: total of an empty cart: \033[33mwant 0, got -1\033[0m\n'
printf 'orders_test.go:131: discount: \033[33mcontext deadline exceeded\033[0m\n'
exit 1
`

type object = map[string]any

// jobs are what the pictures show.
var jobs = map[string]object{
	"unit-test": {
		"freestyle":  object{"script": script, "results": object{"junit": object{"path": "*.xml", "type": "application/zip"}}},
		"parameters": []object{{"name": "LEVEL", "default": "1", "description": "how thorough: 1 to 3"}, {"name": "TARGET", "default": "linux/amd64", "description": "the platform to test for"}},
	},
	"lint":    {"freestyle": object{"script": "echo 'no findings'"}},
	"docs":    {"freestyle": object{"script": "echo building; echo 214 pages > pages.txt; cat pages.txt", "results": object{"site": object{"path": "pages.txt"}}}},
	"deploy":  {"freestyle": object{"script": "echo deployed to $STAGE"}, "parameters": []object{{"name": "STAGE", "required": true, "description": "staging or production"}}},
	"nightly": {"freestyle": object{"script": "i=0; while [ $i -lt 36 ]; do i=$((i+1)); printf '\\033[90m12:%02d\\033[0m scenario %d: \\033[32mok\\033[0m\\n' $((i%60)) $i; done; printf '\\033[33mwaiting for the next scenario\\033[0m\\n'; exec sleep 1800", "resources": object{"cpus": 2}}},
	"release": {"freestyle": object{"script": "echo released", "resources": object{"cpus": 4, "memory": "4GiB"}}},
}

// program is a pipeline that waits for somebody when its picture is taken.
const program = `p = params(stage = "staging")
lint = run("lint")
all([lint] + [run("unit-test", params = {"LEVEL": "3", "TARGET": t}, name = "unit-test " + t) for t in ["linux/amd64", "linux/arm64"]])
all(run("docs"))
approve("deploy 2.4.0 to " + p.stage + "?")
all(run("deploy", params = {"STAGE": p.stage}))
`

// asks begins a run of the pipeline, and waits until it asks.
func asks(ctx context.Context, api *rig.Client) error {
	if err := api.Call(ctx, "PUT", "/pipelines/ship", object{"program": program}, nil); err != nil {
		return err
	}
	if err := api.Call(ctx, "POST", "/pipelines/ship/runs", object{}, nil); err != nil {
		return err
	}
	return rig.Poll(ctx, 5*time.Minute, func() error {
		var run struct{ Reason string }
		err := api.Call(ctx, "GET", "/pipelines/ship/runs/1", nil, &run)
		if err == nil && !strings.Contains(run.Reason, "answer") {
			err = fmt.Errorf("it asks nothing yet: %s", run.Reason)
		}
		return err
	})
}

// others are pipelines that have run to their end, beside the one that asks.
var others = []struct{ name, program string }{
	{"nightly-tests", "all([run('unit-test', params = {'LEVEL': '%d' % n}) for n in [2, 3]])\n"},
	{"docs", "all(run('docs'))\n"},
}

// ran has a pipeline run to its end.
func ran(ctx context.Context, api *rig.Client, name, program string) error {
	if err := api.Call(ctx, "PUT", "/pipelines/"+name, object{"program": program}, nil); err != nil {
		return err
	}
	var made struct{ ID int64 }
	if err := api.Call(ctx, "POST", "/pipelines/"+name+"/runs", object{}, &made); err != nil {
		return err
	}
	return rig.Poll(ctx, 5*time.Minute, func() error {
		var run struct{ Status, Reason string }
		err := api.Call(ctx, "GET", fmt.Sprintf("/pipelines/%s/runs/%d", name, made.ID), nil, &run)
		if err == nil && run.Status != "done" {
			err = fmt.Errorf("%s is not done: %s", name, run.Reason)
		}
		return err
	})
}

// keeps sets what is kept of runs: of all jobs, and of one.
func keeps(ctx context.Context, api *rig.Client) error {
	var config object
	if err := api.Call(ctx, "GET", "/config", nil, &config); err != nil {
		return err
	}
	config["retention"], config["keep"], config["keepTotal"] = "8760h", object{"results": object{"age": "720h", "bytes": 20 << 30}, "console": object{"count": 500}}, object{"results": object{"bytes": 200 << 30}}
	if err := api.Call(ctx, "PUT", "/config", config, nil); err != nil {
		return err
	}
	job := maps.Clone(jobs["unit-test"])
	job["keep"] = object{"results": object{"age": "2160h"}, "console": object{}}
	return api.Call(ctx, "PUT", "/jobs/unit-test", job, nil)
}

// morning is what happened.
type morning struct {
	failed, running, waiting int64
}

// live makes the jobs and their runs; the last ones go on.
func live(ctx context.Context, api *rig.Client) (*morning, error) {
	m := &morning{}
	for name, body := range jobs {
		if err := api.Call(ctx, "PUT", "/jobs/"+name, body, nil); err != nil {
			return m, err
		}
	}
	level := func(n int) string { return fmt.Sprintf(`{"parameters": {"LEVEL": "%d"}}`, n) }
	for _, t := range []struct{ job, body string }{
		{"unit-test", level(3)},
		{"lint", `{}`},
		{"unit-test", level(2)},
		{"unit-test", level(3)},
		{"docs", `{}`},
		{"unit-test", level(3)},
		{"lint", `{}`},
		{"unit-test", level(2)},
		{"deploy", `{"parameters": {"STAGE": "staging"}}`},
		{"unit-test", level(3)},
		{"docs", `{}`},
		{"unit-test", level(1)},
		{"lint", `{}`},
	} {
		var r rig.Run
		if err := api.Call(ctx, "POST", "/jobs/"+t.job+"/runs", json.RawMessage(t.body), &r); err != nil {
			return m, err
		}
		r, err := api.Wait(ctx, t.job, r.ID, 5*time.Minute)
		if err != nil {
			return m, err
		}
		if r.Outcome == "failed" {
			m.failed = r.ID
		}
	}
	if err := keeps(ctx, api); err != nil {
		return m, err
	}
	for _, name := range []string{"ci-bot", "alice", "grafana"} {
		if err := api.Call(ctx, "POST", "/tokens", object{"name": name, "role": map[string]string{"ci-bot": "trigger", "alice": "maintain", "grafana": "read"}[name]}, nil); err != nil {
			return m, err
		}
	}
	if err := asks(ctx, api); err != nil {
		return m, err
	}
	for _, o := range others {
		if err := ran(ctx, api, o.name, o.program); err != nil {
			return m, err
		}
	}
	r, err := api.Trigger(ctx, "nightly")
	if err != nil {
		return m, err
	}
	m.running = r.ID
	if err := rig.Poll(ctx, 5*time.Minute, func() error {
		if r, err = api.Get(ctx, "nightly", m.running); err == nil && !r.ScriptStarted {
			err = errors.New("nightly has not begun")
		}
		return err
	}); err != nil {
		return m, err
	}
	r, err = api.Trigger(ctx, "release")
	m.waiting = r.ID
	return m, err
}

// end aborts what goes on.
func (m *morning) end(ctx context.Context, api *rig.Client) (err error) {
	for job, id := range map[string]int64{"release": m.waiting, "nightly": m.running} {
		if id == 0 {
			continue
		}
		err = errors.Join(err, api.Call(ctx, "POST", fmt.Sprintf("/jobs/%s/runs/%d/abort", job, id), nil, nil))
		_, werr := api.Wait(ctx, job, id, 5*time.Minute)
		err = errors.Join(err, werr)
	}
	return err
}
