#!/usr/bin/env bash
# Shows the whole way of a run on this machine, with the commands that a person
# would type: a git repository, cid, a job by API, a trigger by curl, its
# console, its results, and a Docker that is as clean as before.
#
# Everything lives in a temporary folder and goes away at the end, however that
# comes about. It needs bin/cid (make build) and a Docker engine.
set -eu -o pipefail

# The whole demo has a time limit, so that nothing waits for ever.
if [ -z "${DEMO_LIMITED:-}" ]; then
  DEMO_LIMITED=1 exec timeout --foreground -k 150 "${DEMO_LIMIT:-600}" "$0" "$@"
fi

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
work='' cid='' gitd='' step=0
agent=demo-$$-$RANDOM

# The commands that are shown find these in their environment.
export CI_URL='' CI_TOKEN='' GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

say() { step=$((step + 1)); printf '\n\033[1m%d. %s\033[0m\n' "$step" "$*"; }
note() { printf '   %s\n' "$*"; }
die() { printf '\ndemo: %s\n' "$*" >&2; exit 1; }

# show prints a command as one would type it, then runs exactly that. The
# command goes to the terminal even when the output goes elsewhere.
exec 3>&1
show() { printf '$ %s\n' "$1" >&3; eval "$1"; }

# field takes one field out of a JSON document on stdin; the last one wins.
field() { sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p" | tail -1; }

# lines breaks a JSON document into lines for people: a line for each member,
# and for each element of a list in it.
lines() {
  awk '{
    depth = 0; text = 0; out = ""
    for (i = 1; i <= length($0); i++) {
      c = substr($0, i, 1)
      if (text) {
        if (c == "\\") { out = out c; c = substr($0, ++i, 1) } else if (c == "\"") text = 0
      } else if (c == "\"") text = 1
      else if (c == "{" || c == "[") kind[++depth] = c
      else if (c == "}" || c == "]") depth--
      out = out c
      if (!text && c == "," && (depth == 1 || (depth == 2 && kind[2] == "["))) out = out "\n" (depth == 1 ? "   " : "     ")
    }
    print "  " out
  }'
}

# stop ends a process of ours and waits for it, in the end by force.
stop() {
  local pid=$1
  [ -n "$pid" ] || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || { wait "$pid" 2>/dev/null || true; return 0; }
    sleep 0.1
  done
  kill -TERM "$pid" 2>/dev/null || true # the second signal aborts what is left
  sleep 5
  kill -KILL "$pid" 2>/dev/null || true
}

cleanup() {
  local status=$?
  trap - EXIT
  stop "$cid"
  stop "$gitd"
  if [ "$status" != 0 ] && [ -n "$work" ] && [ -s "$work/cid.log" ]; then
    echo "demo: it did not work (status $status); the last lines of cid's log:" >&2
    tail -20 "$work/cid.log" >&2
  fi
  [ -z "$work" ] || rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'echo "demo: stopped by a signal, or its time limit is over" >&2; exit 1' INT TERM

# free_port prints a port of 127.0.0.1 that nobody listens on.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  die "no free port found on 127.0.0.1"
}

# await_port waits until a port answers.
await_port() {
  for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
    sleep 0.1
  done
  die "nothing answers on 127.0.0.1:$1"
}

# objects lists what Docker has, with the agent that made it.
objects() {
  {
    docker ps -a --format 'container {{.Names}} agent={{.Label "ci.agent"}}'
    docker volume ls --format 'volume {{.Name}} agent={{.Label "ci.agent"}}'
    docker network ls --format 'network {{.Name}} agent={{.Label "ci.agent"}}'
  } | sort
}

tools/need.sh git curl
command -v docker >/dev/null || die "there is no docker command. Install Docker (Debian: apt-get install docker.io), then try again."
docker version >/dev/null 2>&1 || die "Docker does not answer ($(docker version 2>&1 | tail -1)). Start it, or let this user reach it, then try again."
[ -x bin/cid ] || die "bin/cid is missing; run: make build"
work=$(mktemp -d "${TMPDIR:-/tmp}/ci-demo.XXXXXX")
objects >"$work/before"

say "A small project: numbers as the Romans wrote them, with tests that write JUnit XML."
cp -R tools/demo/project "$work/roman"
cd "$work/roman"
show "git init -q -b main && git add . && git -c user.name=demo -c user.email=demo@localhost commit -qm 'roman numerals'"
export COMMIT
COMMIT=$(git rev-parse HEAD)
note "commit $COMMIT holds: $(git ls-files | tr '\n' ' ')"
note "the job file, ci/test.yaml:"
sed 's/^/   | /' ci/test.yaml
cd "$top"

say "A git server for it on this machine."
export GIT_HOST
git clone -q --bare "$work/roman" "$work/git/roman.git"
# One commit and one file are fetched, instead of everything.
git -C "$work/git/roman.git" config uploadpack.allowFilter true
git -C "$work/git/roman.git" config uploadpack.allowAnySHA1InWant true
port=$(free_port)
GIT_HOST=127.0.0.1:$port
printf '$ %s\n' "git daemon --export-all --base-path=… --listen=127.0.0.1 --port=$port &"
# --reuseaddr and exec: one process, so that one signal ends it.
(exec git daemon --reuseaddr --export-all --base-path="$work/git" --listen=127.0.0.1 --port="$port") >"$work/git.log" 2>&1 &
gitd=$!
await_port "$port"
note "serves git://$GIT_HOST/roman.git"

say "cid: the whole system in one process."
export DATA=$work/data
port=$(free_port)
CI_URL=http://127.0.0.1:$port
printf '$ %s\n' "bin/cid --data \$DATA --listen 127.0.0.1:$port --git-allow $GIT_HOST --agent-id $agent &"
bin/cid --data "$DATA" --listen "127.0.0.1:$port" --git-allow "$GIT_HOST" --agent-id "$agent" >"$work/cid.log" 2>&1 &
cid=$!
for _ in $(seq 300); do
  kill -0 "$cid" 2>/dev/null || die "cid ended at once"
  if curl -sf -m 5 -o /dev/null "$CI_URL/readyz"; then break; fi
  sleep 0.1
done
show 'curl -sf -m 5 $CI_URL/readyz' | lines
CI_TOKEN=$(cat "$DATA/admin.token")
note "--git-allow: an insecure URL and a private address are refused unless named. --agent-id tells its Docker objects from others'."
note "its admin token is in \$DATA/admin.token; below, CI_TOKEN holds it and CI_URL is $CI_URL"

# From here on every request carries the token, and fails with the server's words.
curl() { command curl -sS --fail-with-body -m 120 -H "Authorization: Bearer $CI_TOKEN" "$@"; }
note "(every curl below also has: -H \"Authorization: Bearer \$CI_TOKEN\")"

say "A job, made by API: which repository, which file, which parameters."
show "curl -X PUT \$CI_URL/jobs/unit-test --json '{
    \"git\": {\"url\": \"git://$GIT_HOST/roman.git\", \"configPath\": \"ci/test.yaml\"},
    \"parameters\": [{\"name\": \"LEVEL\", \"default\": \"1\", \"description\": \"2 tests large numbers too\"}]
  }'" | lines

say "A run, triggered by curl. It is recorded at once; an agent carries it out."
show "curl -X POST \$CI_URL/jobs/unit-test/runs --json '{\"branchName\": \"main\", \"parameters\": {\"LEVEL\": \"2\"}}'" | tee "$work/run.json" | lines
export ID
ID=$(field id <"$work/run.json")
[ -n "$ID" ] || die "the answer holds no id"

say "Its console, while it is written."
show 'curl -N "$CI_URL/jobs/unit-test/runs/$ID/results/console?follow=1"' | tee "$work/console"

say "The run, once it is done."
show 'curl "$CI_URL/jobs/unit-test/runs/$ID?wait=60s&until=done"' | tee "$work/done.json" | lines
outcome=$(field outcome <"$work/done.json")
commit=$(field commitSha <"$work/done.json")
[ "$outcome" = succeeded ] || die "the outcome should be succeeded, and is '$outcome'; the reason above says why"
[ "$commit" = "$COMMIT" ] || die "the run was of commit '$commit', and the branch is at $COMMIT"

say "What it left: results, each with its media type."
show 'curl "$CI_URL/jobs/unit-test/runs/$ID/results"' | tee "$work/results.json" | lines

say "The JUnit reports, downloaded."
cd "$work"
show 'curl -o junit.zip -D headers "$CI_URL/jobs/unit-test/runs/$ID/results/junit"'
grep -iE '^(content-type|cache-control|etag):' headers | tr -d '\r' | sed 's/^/   /'
cd "$top"
note "junit.zip holds:"
go run ./tools/lszip "$work/junit.zip" | sed 's/^/   /' | tee "$work/list"
grep -q '\.xml$' "$work/list" || die "junit.zip holds no XML file"

say "The end: cid stops, and Docker is as before."
show 'kill -TERM $cid && wait $cid' || die "cid did not stop cleanly"
cid=''
# Others may use the same engine; give what is not ours a moment to go.
for _ in $(seq 20); do
  objects >"$work/after"
  comm -13 "$work/before" "$work/after" >"$work/new"
  [ -s "$work/new" ] || break
  sleep 0.5
done
if grep "agent=$agent\$" "$work/new"; then
  die "the demo left the objects above in Docker"
fi
[ ! -s "$work/new" ] || sed 's/ agent=.*//; s/^/   made by somebody else meanwhile: /' "$work/new"
note "docker ps -a, docker volume ls, docker network ls: nothing of this demo is left"

say "In short: run $ID of unit-test at commit ${commit:0:12}."
note "console:"
sed 's/^/   | /' "$work/console"
note "results:"
{ cat "$work/results.json"; echo; } | sed 's/{"name":/\n&/g' | sed -nE 's/.*"name":"([^"]*)","contentType":"([^"]*)","size":([0-9]*).*/   | \1, \2, \3 bytes/p'
sed 's/^/   |   in junit.zip: /' "$work/list"
echo
echo "$outcome"
