package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

const (
	stopPatience = 3 * time.Minute
	// patience is how long a scenario waits for something that should happen
	// soon, on a machine that does much else.
	patience = 8 * time.Minute
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are what scripts can say beside testscript's own:
//
//	cid start NAME [FLAG…]         a cid, ready; again after stop or kill, with the same address, data and flags
//	cid use NAME                   the one that is asked from now on: CI_URL, CI_TOKEN, AGENT, DATA, ADDR
//	cid stop|kill|term|gone NAME   SIGTERM and wait, kill -9, SIGTERM, wait for its end
//	agent start|stop|kill|term|gone NAME [FLAG…]   the same for a ci-agent
//	agent new NAME [FLAG…]         only chooses its id: AGENT
//	balance NAME                   what listens at $BALANCED hands connections on to this cid from now on, and cuts the others
//	postgres, nats                 servers for both; set DATABASE and QUEUE
//	rabbitmq start|kill|again      a RabbitMQ server; sets QUEUE; kill -9, and again on the same store
//	repo init REPO                 a repository at $GIT_URL/REPO.git
//	repo commit REPO BRANCH DIR [VAR]  DIR becomes a commit; VAR gets its id
//	repo off|on|hold|release       the git host goes away, comes back, holds its answers back, lets them go
//	put JOB FILE                   PUT of a job that is written as YAML; <NAME> stands for $NAME
//	trigger JOB [JSON]             triggers a run; sets ID and RUN, its path
//	http METHOD PATH [JSON|@FILE] [Name:value…]   keeps the answer
//	status CODE · header NAME [VALUE] · jq EXPR [VALUE] · set VAR EXPR · save FILE   about that answer; body prints it
//	problem CODE [REGEXP]          the answer is a problem document with that status
//	done RUN [OUTCOME]             waits until the run is done and keeps it as the answer
//	await PATH EXPR                asks again and again until EXPR holds
//	follow PATH REGEXP · followed  reads a stream until it matches; its whole to the end becomes the answer
//	recorded WORD N · await-recorded WORD [N] · gate NAME   about the recorder
//	docker-clean NAME              soon no object of a run of this cid's agent is in Docker
//	exec-clean                     soon nothing of this scenario's ci exec is in Docker; negated: something is
//	exits CODE PROGRAM [ARG…]      like exec, with an exit status
//	zipped FILE                    prints the names and sizes in a zip file
//	memory NAME MIB                the cid's peak of resident memory is below so many MiB
//	image VAR FILE…                makes an image of these files alone; it is removed at the end
//	busybox VAR                    makes an image with busybox; it is removed at the end
//	sshd                           an SSH server; sets SSH_HOST, SSH_PORT, SSH_USER and SSH_FINGERPRINT, and opens its port to jobs
//	authorize FILE                 the SSH server lets in whose public key is in the file
//	server VAR postgres|redis|go   makes an image of a server, or of Go; it is removed at the end
//	fill FOLDER                    puts the script's variables in the places of <NAME>, in all files of a folder
//	engine start                   a Docker engine on another machine; sets ENGINE and ENGINE_IP, moves the git host to where it is reached, and is the Docker that is meant from now on
//	engine bare                    soon that engine has nothing but images
//	guide FILE                     the shell scripts of a guide in docs/guides become script1, script2 and so on
//	variable VAR FILE              VAR gets the text of a file, without its line end
//	github                         a GitHub for tests; sets GITHUB
//	confirm FILE                   does at that GitHub what a person does with the page that ci forge setup has named in FILE
//	collector                      takes traces; sets COLLECTOR
//	span VAR TRACE NAME [PARENT]   soon the collector has a span of that name; VAR gets its id
//	examples                       every example in the help of ci works
//	bad-input                      see badinput_test.go
func commands() map[string]command {
	return map[string]command{
		"cid": cidCommand, "agent": agentCommand, "balance": balanceCommand, "postgres": postgresCommand, "nats": natsCommand, "rabbitmq": rabbitmqCommand, "repo": repoCommand,
		"put": putCommand, "trigger": triggerCommand, "http": httpCommand, "status": statusCommand, "header": headerCommand,
		"jq": jqCommand, "set": setCommand, "save": saveCommand, "body": bodyCommand, "problem": problemCommand,
		"done": doneCommand, "await": awaitCommand, "follow": followCommand, "followed": followedCommand,
		"recorded": recordedCommand, "await-recorded": awaitRecordedCommand, "gate": gateCommand,
		"docker-clean": dockerCleanCommand, "exits": exitsCommand, "zipped": zippedCommand, "bad-input": badInputCommand,
		"memory": memoryCommand, "sshd": sshdCommand, "authorize": authorizeCommand, "image": imageCommand,
		"exec-clean": execCleanCommand, "busybox": busyboxCommand,
		"server": serverCommand, "fill": fillCommand, "engine": engineCommand,
		"github": githubCommand, "confirm": confirmCommand,
		"collector": collectorCommand, "span": spanCommand,
		"guide": guideCommand, "examples": examplesCommand, "variable": variableCommand,
	}
}

// arguments refuses a wrong number of them; most 0 is any.
func arguments(ts *testscript.TestScript, neg bool, args []string, least, most int) {
	if neg {
		ts.Fatalf("this command can't be negated")
	}
	if len(args) < least || most > 0 && len(args) > most {
		ts.Fatalf("this command takes %d to %d arguments", least, most)
	}
}

func cidCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 0)
	s, name, flags := on(ts), args[1], args[2:]
	c := s.cids[name]
	if c == nil {
		var err error
		c, err = rig.NewCid(s.bin, filepath.Join(s.work, name), environ(ts), flags...)
		ts.Check(err)
		s.cids[name], flags = c, nil
	}
	switch args[0] {
	case "start":
		ts.Check(c.Start(context.Background(), flags...))
		known(ts, c)
	case "use":
		known(ts, c)
	default:
		ended(ts, c.Process, args[0])
	}
}

// known tells the script, and what it starts, of a cid.
func known(ts *testscript.TestScript, c *rig.Cid) {
	for k, v := range map[string]string{"CI_URL": c.URL, "CI_TOKEN": c.Token, "AGENT": c.Agent, "DATA": c.Data, "ADDR": strings.TrimPrefix(c.URL, "http://")} {
		ts.Setenv(k, v)
	}
}

// ended is what can be done to a process.
func ended(ts *testscript.TestScript, p *rig.Process, verb string) {
	switch verb {
	case "stop":
		ts.Check(p.Stop(stopPatience))
	case "kill":
		ts.Check(p.Kill())
	case "term":
		ts.Check(p.Signal(syscall.SIGTERM))
	case "gone":
		code, err := p.Wait(patience)
		ts.Check(err)
		if code != 0 {
			ts.Fatalf("it ended with status %d", code)
		}
	default:
		ts.Fatalf("%s is not known here", verb)
	}
}

func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "DOCKER_HOST", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "CID_AGENT_REACH", "CI_AGENT_REACH"} {
		if v := ts.Getenv(k); v != "" {
			env = append(env, k+"="+v)
		}
	}
	return env
}
