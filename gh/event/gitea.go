package event

import (
	"fmt"
)

// Gitea's payloads follow GitHub's, with differences: https://docs.gitea.com/usage/webhooks.
func parseGitea(name string, body []byte) Event {
	parts := map[string]func(Event, []byte) Event{
		"push": giteaPush, "pull_request": giteaPull, "pull_request_sync": giteaPull, "release": githubRelease,
	}
	part, known := parts[name]
	if !known {
		return ignored(loose(body), fmt.Sprintf("no trigger listens to %s events", name))
	}
	var h ghHead
	if why := decode(body, &h); why != "" {
		return ignored(Event{}, why)
	}
	return part(h.event(), body)
}

func giteaPush(e Event, body []byte) Event {
	var p struct {
		Commits []ghCommit `json:"commits"`
		Total   int        `json:"total_commits"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	e = githubPush(e, body)
	e.Changed, e.Whole = changed(p.Commits), p.Total > 0 && p.Total == len(p.Commits)
	return e
}

// changed are the files that commits name.
func changed(commits []ghCommit) (files []string) {
	for _, c := range commits {
		files = append(append(append(files, c.Added...), c.Modified...), c.Removed...)
	}
	return files
}

func giteaPull(e Event, body []byte) Event {
	if e.Action == "synchronized" {
		e.Action = "synchronize"
	}
	return githubPull(e, body)
}
