package jobfile

import "strings"

// homes says where a key belongs that somebody may write one level too high,
// and what other systems call ours.
var homes = map[string]string{
	"image": "environment.image", "workdir": "environment.workdir", "user": "environment.user", "shell": "environment.shell",
	"dockerfile": "environment.dockerfile",
	"cpus":       "resources.cpus", "memory": "resources.memory", "pids": "resources.pids",
	"depth": "git.depth", "submodules": "git.submodules",
	"run": "script", "steps": "script", "command": "script",
	"artifacts": "results", "secrets": "env",
}

// suggest says what was meant by an unknown key of the job file.
func suggest(name string, keys []key) string {
	best := nearest(name, keys)
	if best == "" && len(keys) > 5 {
		best = homes[strings.ToLower(name)]
	}
	return hint(best, keys)
}

// suggestName says what was meant by an unknown name, or key of Compose's.
func suggestName(name string, keys []key) string { return hint(nearest(name, keys), keys) }

// maxKnown is how many names an error lists.
const maxKnown = 15

func hint(best string, keys []key) string {
	switch {
	case best != "":
		return "did you mean `" + best + "`?"
	case len(keys) > maxKnown:
		return "known here are " + names(keys[:maxKnown]) + " and more"
	}
	return "known here are " + names(keys)
}

// nearest is the key that is most like name; "" if none is.
func nearest(name string, keys []key) string {
	best, distance := "", 1+min(len(name), 6)/3
	for _, k := range keys {
		if d := edits(strings.ToLower(name), k.name); d <= distance && (best == "" || d < distance) {
			best, distance = k.name, d
		}
	}
	return best
}

// edits is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours that turn a into b. Long words are
// never close to a key, so they aren't measured.
func edits(a, b string) int {
	if len(a) > 32 {
		return len(a)
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
