package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// patience bounds one question; an answer that does not come is a failure of it.
const patience = time.Minute

// caller uses the run's own token for what is not the run's. FOREIGN is
// another job with a run and a secret.
func caller() {
	own, foreign := "/jobs/"+os.Getenv("CI_JOB"), "/jobs/"+os.Getenv("FOREIGN")
	if status, err := ask(http.MethodGet, own, ""); err != nil || status != http.StatusOK {
		fmt.Println("BREACH: the token opens nothing, so nothing is tried:", status, err)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", foreign, ""},
		{"GET", foreign + "/runs", ""},
		{"GET", foreign + "/runs/1/results/console", ""},
		{"GET", foreign + "/secrets", ""},
		{"POST", foreign + "/runs", "{}"},
		{"POST", foreign + "/runs/1/abort", ""},
		{"PUT", foreign, `{"freestyle":{"script":"true"}}`},
		{"DELETE", foreign, ""},
		{"PUT", foreign + "/secrets/TREASURE", `{"value":"mine-now"}`},
		{"DELETE", foreign + "/secrets/TREASURE", ""},
		{"PUT", own, `{"freestyle":{"script":"true"},"triggers":["` + os.Getenv("FOREIGN") + `"]}`},
		{"DELETE", own, ""},
		{"POST", own + "/runs", "{}"},
		{"GET", own + "/secrets", ""},
		{"PUT", own + "/secrets/X", `{"value":"value-of-x"}`},
		{"POST", own + "/runs/" + os.Getenv("CI_RUN") + "/abort", ""},
		{"GET", "/tokens", ""},
		{"POST", "/tokens", `{"name":"mine","role":"admin"}`},
		{"GET", "/config", ""},
		{"PUT", "/config", `{"maxConsole":1}`},
		{"GET", "/agents", ""},
		{"POST", "/agents/" + os.Getenv("CI_AGENT") + "/drain", ""},
		{"GET", "/events", ""},
		{"GET", "/queues", ""},
		{"GET", "/metrics", ""},
		{"GET", "/ssh-keys", ""},
		{"PUT", "/ssh-keys/mine", "{}"},
		{"POST", "/ssh-hosts:scan", `{"host":"127.0.0.1"}`},
		{"GET", "/registries", ""},
		{"POST", "/ci.v1.TokenService/ListTokens", "{}"},
		{"POST", "/ci.v1.SecretService/ListSecrets", `{"job":"` + os.Getenv("FOREIGN") + `"}`},
		{"POST", "/ci.v1.AgentService/Register", "{}"},
	} {
		status, err := ask(c.method, c.path, c.body)
		if err == nil && status >= 400 && status < 500 {
			err = errors.New(http.StatusText(status))
		}
		refused(c.method+" "+c.path, err)
	}
}

func ask(method, path, body string) (int, error) {
	r, err := http.NewRequest(method, os.Getenv("CI_URL")+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+os.Getenv("CI_TOKEN"))
	r.Header.Set("Content-Type", "application/json")
	answer, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		return 0, err
	}
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}

// relay takes the way to the API for a way to everything. DECOY is HOST:PORT
// of the machine, which counts who comes.
func relay() {
	decoy, bearer := os.Getenv("DECOY"), "Authorization: Bearer "+os.Getenv("CI_TOKEN")+"\r\n"
	for what, text := range map[string]string{
		"CONNECT":                           "CONNECT " + decoy + " HTTP/1.1\r\nHost: " + decoy + "\r\n\r\n",
		"CONNECT with the token":            "CONNECT " + decoy + " HTTP/1.1\r\nHost: " + decoy + "\r\n" + bearer + "\r\n",
		"an absolute address":               "GET http://" + decoy + "/ HTTP/1.1\r\nHost: " + decoy + "\r\n" + bearer + "\r\n",
		"metadata by an absolute address":   "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
		"another host's name":               "GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n" + bearer + "\r\n",
		"another scheme":                    "GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"a caller who says he is local":     "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\r\n",
		"the API without a token":           "GET /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"the API with the agents' way in":   "POST /ci.v1.AgentService/Register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"SOCKS":                             "\x05\x01\x00\r\n\r\n",
		"what is no protocol":               "\x00\xff\x00\xff\r\n\r\n",
		"a head without an end":             "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"the agent's own protocol (frames)": "\x00\x00\x00\x02{}\r\n\r\n",
	} {
		status, err := raw(text)
		if err == nil && status >= 400 {
			err = errors.New(http.StatusText(status))
		}
		refused(what, err)
	}
	// More callers than are served, who say nothing: only this run waits for them.
	for range 100 {
		conn, err := net.Dial("tcp", "127.0.0.1:4208")
		if err != nil {
			break
		}
		defer conn.Close()
	}
	fmt.Println("held: silent callers")
}

// raw says something to the API's address and returns the status of the answer.
func raw(text string) (int, error) {
	conn, err := net.Dial("tcp", "127.0.0.1:4208")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.WriteString(conn, text) }() // a server may answer before it has heard all
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}
