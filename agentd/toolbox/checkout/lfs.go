package checkout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// pointer is a file that Git LFS keeps elsewhere
// (github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
type pointer struct {
	Path string `json:"-"`
	OID  string `json:"oid"` // SHA-256 in hex
	Size int64  `json:"size"`
}

const (
	maxPointer = 1 << 10
	// lfsBatch is how many objects are asked for at once, as git-lfs does.
	lfsBatch = 100
	// lfsTime bounds one request to a server, lfsObject the bytes of one object.
	lfsTime   = time.Minute
	lfsObject = 30 * time.Minute
	// maxLFSAnswer is how long a server's answer may be, in bytes.
	maxLFSAnswer = 4 << 20
)

var pointerText = regexp.MustCompile(`^version https?://\S+\n(?:ext-\S+ \S+\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n$`)

// lfs brings the files that the commit has in Git LFS, from the repository's
// own LFS server: what the commit's .lfsconfig says does not count. A server
// may name any place for the bytes; the guard sees to where it leads.
func (g *git) lfs(address string) error {
	root, err := os.OpenRoot(g.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	wanted, err := g.pointers(root)
	if err != nil || len(wanted) == 0 {
		return err
	}
	g.tell(fmt.Sprintf("Fetching %d files from Git LFS.", len(wanted)))
	c := &lfsClient{root: root}
	if err := g.lfsServer(c, address); errors.Is(err, errNoLFS) {
		g.tell("The repository's protocol has no Git LFS: its files stay pointers.")
		return nil
	} else if err != nil {
		return fmt.Errorf("the Git LFS server of %s can't be asked: %w", g.shown, err)
	}
	own := address
	if hostOf(c.server) == hostOf(address) { // whatever the port
		own = c.server
	}
	guard, err := newGuard(own)
	if err != nil {
		return err
	}
	defer guard.close()
	c.http = &http.Client{Transport: &http.Transport{DialContext: guard.dial, ResponseHeaderTimeout: lfsTime}}
	defer c.http.CloseIdleConnections()
	for len(wanted) > 0 {
		n := min(len(wanted), lfsBatch)
		if err := c.fetch(wanted[:n]); err != nil {
			//lint:ignore ST1005 a name
			return fmt.Errorf("Git LFS of %s: %w", g.shown, err)
		}
		wanted = wanted[n:]
	}
	return nil
}

// pointers finds the files that are pointers now.
func (g *git) pointers(root *os.Root) ([]pointer, error) {
	list, err := g.output("ls-files", "-z", "--", ":(attr:filter=lfs)")
	if err != nil {
		return nil, err
	}
	var found []pointer
	for name := range strings.SplitSeq(list, "\x00") {
		info, err := root.Lstat(name)
		if name == "" || err != nil || !info.Mode().IsRegular() || info.Size() > maxPointer {
			continue
		}
		text, err := root.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if m := pointerText.FindSubmatch(text); m != nil {
			size, _ := strconv.ParseInt(string(m[2]), 10, 64)
			found = append(found, pointer{Path: name, OID: string(m[1]), Size: size})
		}
	}
	return found, nil
}

// lfsClient speaks the batch API with the basic transfer
// (github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md).
type lfsClient struct {
	root   *os.Root
	http   *http.Client
	server string
	header map[string]string
}

// lfsServer finds the server: beside an http repository, or where the ssh
// server says (docs/api/server-discovery.md).
func (g *git) lfsServer(c *lfsClient, address string) error {
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		c.server = strings.TrimSuffix(address, "/")
		if !strings.HasSuffix(c.server, ".git") {
			c.server += ".git"
		}
		c.server += "/info/lfs"
		if g.shows != "" {
			c.header = map[string]string{"Authorization": g.shows}
		}
		return nil
	}
	host, repository, err := sshAddress(address)
	if err != nil {
		return err
	}
	words := append(strings.Fields(sshCommand(g.agent)), host...)
	ctx, cancel := context.WithTimeout(context.Background(), lfsTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], "git-lfs-authenticate "+quote(repository)+" download")...)
	cmd.Env = environ("", g.agent)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("git-lfs-authenticate: %w", err)
	}
	var answer struct {
		Href   string            `json:"href"`
		Header map[string]string `json:"header"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.Href == "" {
		return errors.New("git-lfs-authenticate names no server")
	}
	c.server, c.header = strings.TrimSuffix(answer.Href, "/"), answer.Header
	return nil
}

// errNoLFS says that an address is of a kind that has no LFS servers.
var errNoLFS = errors.New("no Git LFS server")

// sshAddress is what ssh is told of a repository's address, and its path there.
func sshAddress(address string) (host []string, repository string, err error) {
	if u, err := url.Parse(address); err == nil && u.Scheme == "ssh" {
		host = []string{"--", u.Hostname()}
		if u.User != nil {
			host[1] = u.User.Username() + "@" + host[1]
		}
		if u.Port() != "" {
			host = append([]string{"-p", u.Port()}, host...)
		}
		return host, strings.TrimPrefix(u.Path, "/"), nil
	}
	at, repository, ok := strings.Cut(address, ":")
	if !ok || strings.Contains(at, "/") || strings.HasPrefix(repository, "//") {
		return nil, "", errNoLFS
	}
	return []string{"--", at}, strings.TrimPrefix(repository, "/"), nil
}

// hostOf is the name of the host that an address leads to.
func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return strings.ToLower(u.Hostname())
	}
	at, _, _ := strings.Cut(address, ":")
	return strings.ToLower(at[strings.LastIndex(at, "@")+1:])
}

// quote makes one word of a POSIX shell's.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// action is where an object is.
type action struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header"`
}

// maxRedirects is how often a request may be led on, as net/http has it.
const maxRedirects = 10

// follow lets a request be led to another place, as storages do it. What opens the
// first place is shown to no other: net/http takes away only the headers that it
// knows, and other ports of a host and the names below it see even those.
func (a *action) follow(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("it was led to other places more than %d times", maxRedirects)
	}
	if r.URL.Scheme == via[0].URL.Scheme && r.URL.Host == via[0].URL.Host {
		return nil
	}
	for name := range a.Header {
		r.Header.Del(name)
	}
	return nil
}

type lfsAnswer struct {
	Message string `json:"message"`
	Objects []struct {
		OID     string `json:"oid"`
		Actions struct {
			Download *action `json:"download"`
		} `json:"actions"`
		Error *struct {
			Message string `json:"message"`
		} `json:"error"`
	} `json:"objects"`
}

// fetch brings some files.
func (c *lfsClient) fetch(wanted []pointer) error {
	places, err := c.batch(wanted)
	if err != nil {
		return err
	}
	for _, p := range wanted {
		place := places[p.OID]
		if place == nil {
			return fmt.Errorf("the server does not have %s", p.Path)
		}
		if err := c.download(p, *place); err != nil {
			return fmt.Errorf("%s: %w", p.Path, err)
		}
	}
	return nil
}

// batch asks where objects are.
func (c *lfsClient) batch(wanted []pointer) (map[string]*action, error) {
	body, err := json.Marshal(map[string]any{"operation": "download", "transfers": []string{"basic"}, "hash_algo": "sha256", "objects": wanted})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lfsTime)
	defer cancel()
	resp, err := c.do(ctx, http.MethodPost, action{Href: c.server + "/objects/batch", Header: c.header}, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer lfsAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxLFSAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the server's answer is no JSON: %w", err)
	}
	places := map[string]*action{}
	for _, o := range answer.Objects {
		if o.Error != nil {
			return nil, fmt.Errorf("object %.64s: %.300s", o.OID, o.Error.Message)
		}
		places[o.OID] = o.Actions.Download
	}
	return places, nil
}

func (c *lfsClient) do(ctx context.Context, method string, a action, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.Href, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Accept", "application/vnd.git-lfs+json")
		req.Header.Set("Content-Type", "application/vnd.git-lfs+json")
	}
	for name, value := range a.Header {
		req.Header.Set(name, value)
	}
	led := *c.http
	led.CheckRedirect = a.follow
	resp, err := led.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	return resp, nil
}

// download replaces a pointer by the object's bytes, once they are whole and right.
func (c *lfsClient) download(p pointer, from action) error {
	ctx, cancel := context.WithTimeout(context.Background(), lfsObject)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	info, err := c.root.Stat(p.Path)
	if err != nil {
		return err
	}
	part := path.Join(".git", "ci-lfs-part")
	f, err := c.root.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(resp.Body, p.Size+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && (n != p.Size || hex.EncodeToString(sum.Sum(nil)) != p.OID) {
		err = errors.New("what the server sends is not what the commit names")
	}
	if err == nil {
		err = c.root.Rename(part, p.Path)
	}
	if err != nil {
		_ = c.root.Remove(part)
	}
	return err
}
