package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

func doneCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 2)
	s := on(ts)
	for deadline := time.Now().Add(patience); ; {
		a, err := client(ts).Do(context.Background(), "GET", args[0]+"?wait=20s&until=done", nil)
		ts.Check(err)
		s.answer = a
		v, err := query(a.Body, ".status")
		ts.Check(err)
		if v == "done" {
			break
		}
		if time.Now().After(deadline) || a.Status != 200 {
			ts.Fatalf("not done: %d %s", a.Status, a.Body)
		}
	}
	outcome, err := query(s.answer.Body, `"\(.outcome): \(.reason)"`)
	ts.Check(err)
	ts.Logf("%s", outcome)
	if len(args) == 2 {
		jqCommand(ts, false, []string{".outcome", args[1]})
	}
	// What every done run has, however it ended.
	for _, always := range []string{`.reason != ""`, ".times.done", `.console.sha256 != ""`} {
		jqCommand(ts, false, []string{always})
	}
}

func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	ts.Check(rig.Poll(context.Background(), patience, func() error {
		a, err := client(ts).Do(context.Background(), "GET", args[0], nil)
		if err != nil {
			return err
		}
		on(ts).answer = a
		v, err := query(a.Body, args[1])
		if err != nil {
			return fmt.Errorf("%w; %s is asked of %.1500s", err, args[1], a.Body)
		}
		if v == nil || v == false {
			return fmt.Errorf("%s is %s in %.1500s", args[1], text(v), a.Body)
		}
		return nil
	}))
}

// follow is a stream that is being read.
type follow struct {
	cancel context.CancelFunc
	lines  chan string // closed at its end
	read   bytes.Buffer
	answer *rig.Answer
}

func (f *follow) close() {
	f.cancel()
	for range f.lines { // the reader ends
	}
}

func followCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 0)
	s := on(ts)
	if s.follow != nil {
		s.follow.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.Getenv("CI_URL")+args[0], nil)
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+ts.Getenv("CI_TOKEN"))
	if len(args) > 2 {
		req.Header.Set("Accept", args[2])
	}
	r, err := http.DefaultClient.Do(req)
	ts.Check(err)
	f := &follow{cancel: cancel, lines: make(chan string), answer: &rig.Answer{Status: r.StatusCode, Header: r.Header}}
	s.follow = f
	go f.pump(r.Body)
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	for line := range f.lines {
		f.read.WriteString(line)
		if re.Match(f.read.Bytes()) {
			s.answer = f.answer
			return
		}
	}
	ts.Fatalf("the stream ended before it matched:\n%s", f.read.Bytes())
}

func (f *follow) pump(body io.ReadCloser) {
	defer close(f.lines)
	defer body.Close()
	for r := bufio.NewReader(body); ; {
		line, err := r.ReadString('\n')
		f.lines <- line
		if err != nil {
			return
		}
	}
}

func followedCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, append(args, ""), 1, 1)
	s := on(ts)
	for line := range s.follow.lines {
		s.follow.read.WriteString(line)
	}
	s.follow.answer.Body = s.follow.read.Bytes()
	s.answer = s.follow.answer
	s.follow.cancel()
	s.follow = nil
}

// said counts a word of the recorder.
func said(ts *testscript.TestScript, word string) int {
	n := 0
	for _, w := range on(ts).recorder.Words() {
		if w == word {
			n++
		}
	}
	return n
}

func recordedCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n := said(ts, args[0]); n != want {
		ts.Fatalf("%s was said %d times; all that was said: %q", args[0], n, on(ts).recorder.Words())
	}
}

func awaitRecordedCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 2)
	want := 1
	if len(args) == 2 {
		var err error
		want, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	ts.Check(rig.Poll(context.Background(), patience, func() error {
		if n := said(ts, args[0]); n < want {
			return fmt.Errorf("%s was said %d times; all that was said: %q", args[0], n, on(ts).recorder.Words())
		}
		return nil
	}))
}

func gateCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	on(ts).recorder.Open(args[0])
}

func dockerCleanCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	s := on(ts)
	id := ""
	if c := s.cids[args[0]]; c != nil {
		id = c.Agent
	} else if a := s.agents[args[0]]; a != nil {
		id = a.id
	} else {
		ts.Fatalf("there is no %s", args[0])
	}
	d, err := dockerOf(ts)
	ts.Check(err)
	// A run's container is removed just after it is done.
	ts.Check(rig.Poll(context.Background(), patience, func() error {
		all, err := d.Objects(context.Background(), "ci.agent="+id, "ci.run")
		if err == nil && len(all) > 0 {
			err = fmt.Errorf("still there: %v", all)
		}
		return err
	}))
}
