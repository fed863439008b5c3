package ghtest

import "net/http"

// table are the operations that the server has, the more special paths first.
func (s *Server) table() []route {
	const repo = "/repos/{owner}/{repo}"
	get := func(template string, n need, serve func(*call) answer) route {
		return route{method: http.MethodGet, template: template, need: n, serve: serve}
	}
	post := func(template string, n need, serve func(*call) answer) route {
		return route{method: http.MethodPost, template: template, need: n, serve: serve}
	}
	list := []route{
		get("/app", asApp(), getApp),
		get("/app/hook/config", asApp(), hookConfig),
		{method: http.MethodPatch, template: "/app/hook/config", need: asApp(), serve: hookConfig},
		get("/app/hook/deliveries", asApp(), listDeliveries),
		get("/app/hook/deliveries/{delivery_id}", asApp(), getDelivery),
		post("/app/hook/deliveries/{delivery_id}/attempts", asApp(), redeliver),
		get("/app/installations", asApp(), listInstallations),
		get("/app/installations/{installation_id}", asApp(), getInstallation),
		post("/app/installations/{installation_id}/access_tokens", asApp(), createToken),
		{method: http.MethodPost, template: "/app-manifests/{code}/conversions", need: need{nobody: true}, serve: convertManifest, undescribed: true},
		get("/orgs/{org}/installation", asApp(), findInstallation),
		get("/users/{username}/installation", asApp(), findInstallation),
		get(repo+"/installation", asApp(), findInstallation),
		get("/installation/repositories", need{anyone: true, installed: true}, listInstalled),
		{method: http.MethodDelete, template: "/installation/token", need: need{anyone: true, installed: true}, serve: revokeToken},
		get("/rate_limit", need{anyone: true}, rateLimit),

		post(repo+"/check-runs", writing("checks").ofApps(), createCheckRun),
		{method: http.MethodPatch, template: repo + "/check-runs/{check_run_id}", need: writing("checks").ofApps(), serve: updateCheckRun},
		get(repo+"/check-runs/{check_run_id}/annotations", reading("checks"), listAnnotations),
		get(repo+"/check-runs/{check_run_id}", reading("checks"), getCheckRun),
		post(repo+"/check-suites/{check_suite_id}/rerequest", writing("checks").ofApps(), rerequestSuite),
		get(repo+"/check-suites/{check_suite_id}/check-runs", reading("checks"), listCheckRuns),
		get(repo+"/check-suites/{check_suite_id}", reading("checks"), getSuite),
		get(repo+"/commits/{ref}/check-runs", reading("checks"), listCheckRuns),
		get(repo+"/commits/{ref}/check-suites", reading("checks"), listSuites),
		get(repo+"/commits/{ref}/status", reading("statuses"), combinedStatus),
		get(repo+"/commits/{ref}/statuses", reading("statuses"), listStatuses),
		get(repo+"/commits/{commit_sha}/pulls", reading("pull_requests"), listCommitPulls),
		get(repo+"/commits/{ref}", reading("contents"), getCommit),
		get(repo+"/commits", reading("contents"), listCommits),
		post(repo+"/statuses/{sha}", writing("statuses"), createStatus),
		get(repo+"/compare/{basehead}", reading("contents"), compare),
		get(repo+"/contents/{path}", reading("contents"), getContents),
		get(repo+"/git/ref/{ref}", reading("contents"), getRef),
		get(repo+"/collaborators/{username}/permission", reading("metadata"), getPermission),
		get(repo+"/pulls/{pull_number}/files", reading("pull_requests"), listPullFiles),
		get(repo+"/pulls/{pull_number}/commits", reading("pull_requests"), listPullCommits),
		get(repo+"/pulls/{pull_number}", reading("pull_requests"), getPull),
		get(repo, reading("metadata"), getRepo),
	}
	for i := range list {
		list[i].compile()
	}
	return list
}
