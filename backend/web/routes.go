package web

import (
	"net/http"
	"strconv"

	"ci/pkg/ci"
)

// routes lists every page.
func (p *Pages) routes() *http.ServeMux {
	m := http.NewServeMux()
	m.Handle("GET "+root+"/static/{file}", p.static)
	m.HandleFunc("GET "+root+"/sign-in", p.showSignIn)
	m.HandleFunc("POST "+root+"/sign-in", p.signIn)
	m.HandleFunc("GET "+root+"/sign-in/{provider}", p.beginSignIn)
	m.HandleFunc("GET "+root+"/sign-in/{provider}/callback", p.finishSignIn)
	m.HandleFunc("POST "+root+"/sign-out", p.form((*visit).signOut))

	m.HandleFunc("GET "+root+"/{$}", p.page((*visit).dashboard))
	m.HandleFunc("GET "+root+"/live", p.page((*visit).live))
	m.HandleFunc("GET "+root+"/jobs", p.page((*visit).jobs))
	m.HandleFunc("GET "+root+"/jobs/{job}", p.page((*visit).job))
	m.HandleFunc("GET "+root+"/jobs/{job}/tests", p.page((*visit).history))
	m.HandleFunc("GET "+root+"/jobs/{job}/settings", p.page((*visit).jobSettings))
	m.HandleFunc("POST "+root+"/jobs/{job}/keep", p.form((*visit).saveKeep))
	m.HandleFunc("POST "+root+"/jobs/{job}/runs", p.form((*visit).trigger))

	run := root + "/jobs/{job}/runs/{id}"
	m.HandleFunc("GET "+run, p.page((*visit).run))
	m.HandleFunc("GET "+run+"/live", p.page((*visit).liveRun))
	m.HandleFunc("GET "+run+"/console", p.page((*visit).rawConsole))
	m.HandleFunc("GET "+run+"/tests/{result}", p.page((*visit).report))
	m.HandleFunc("GET "+run+"/results/{result}", p.page((*visit).download))
	m.HandleFunc("POST "+run+"/abort", p.form((*visit).abort))
	m.HandleFunc("POST "+run+"/rerun", p.form((*visit).rerun))

	p.pipelineRoutes(m)
	m.HandleFunc("GET "+root+"/queue", p.page((*visit).queue))
	m.HandleFunc("GET "+root+"/agents", p.page((*visit).agents))
	m.HandleFunc("POST "+root+"/agents/{agent}/drain", p.form((*visit).drain))
	m.HandleFunc("GET "+root+"/tokens", p.page((*visit).tokens))
	m.HandleFunc("POST "+root+"/tokens", p.form((*visit).createToken))
	m.HandleFunc("POST "+root+"/tokens/{token}/revoke", p.form((*visit).revokeToken))
	m.HandleFunc("GET "+root+"/settings", p.page((*visit).settings))
	m.HandleFunc("POST "+root+"/settings", p.form((*visit).saveSettings))
	m.HandleFunc("GET "+root+"/", p.page(func(*visit) error {
		return ci.Errorf(ci.CodeNotFound, "there is no such page")
	}))
	m.Handle("GET "+root, http.RedirectHandler(root+"/", http.StatusSeeOther))
	return m
}

func (p *Pages) pipelineRoutes(m *http.ServeMux) {
	pipelines := root + "/pipelines"
	m.HandleFunc("GET "+pipelines, p.page((*visit).pipelines))
	m.HandleFunc("GET "+root+"/live-pipelines", p.page((*visit).livePipelines))
	m.HandleFunc("GET "+pipelines+"/{pipeline}", p.page((*visit).pipeline))
	m.HandleFunc("POST "+pipelines+"/{pipeline}/runs", p.form((*visit).startPipeline))
	run := pipelines + "/{pipeline}/runs/{id}"
	m.HandleFunc("GET "+run, p.page((*visit).pipelineRun))
	m.HandleFunc("GET "+run+"/live", p.page((*visit).livePipelineRun))
	m.HandleFunc("POST "+run+"/abort", p.form((*visit).abortPipeline))
	m.HandleFunc("POST "+run+"/rerun", p.form((*visit).rerunPipeline))
	m.HandleFunc("POST "+run+"/approvals/{call}", p.form((*visit).answerPipeline))
}

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// runID is the id of a run in a path, 0 for what is none.
func runID(s string) int64 {
	id, err := parseInt(s)
	if err != nil || id < 1 || id > 1<<32-1 || s[0] == '+' {
		return 0
	}
	return id
}

// ref is the run that a path names.
func (v *visit) ref() (job string, id int64, err error) {
	job, id = v.r.PathValue("job"), runID(v.r.PathValue("id"))
	if ci.ValidateName(job) != nil || id == 0 {
		return "", 0, ci.Errorf(ci.CodeNotFound, "there is no such run; its address ends with a job's name, /runs/ and a number")
	}
	return job, id, nil
}

// jobName is the job that a path names.
func (v *visit) jobName() (string, error) {
	job := v.r.PathValue("job")
	if ci.ValidateName(job) != nil {
		return "", ci.Errorf(ci.CodeNotFound, "there is no such job: %.100q can't be a job's name", job)
	}
	return job, nil
}
