package source

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

// scanTime bounds one ScanHost.
const scanTime = 20 * time.Second

// hostKeyTypes are what a server may be known by, best first. A server shows
// one key in each conversation: the one that is asked for.
var hostKeyTypes = [][]string{
	{ssh.KeyAlgoED25519},
	{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
	{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
}

// ScanHost asks an SSH server ("host" or "host:port") for its host keys, for a
// person to compare with what its owner publishes. It goes only where a git URL
// may lead. Errors are ci.CodeInvalid for a host that may not be asked, and
// ci.CodeUnavailable for one that does not answer.
func (s *Source) ScanHost(ctx context.Context, host string) ([]ci.HostKey, error) {
	name, port, err := sshkey.SplitHost(host)
	if err != nil {
		return nil, badHost(err.Error())
	}
	r := remote{raw: host, scheme: "ssh", host: name, port: port}
	if why := checkHost(name, ip6.MatchString(name)); why != "" {
		return nil, badHost(why)
	}
	if why := s.refuses(r); why != "" {
		return nil, badHost(why)
	}
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	addrs, err := s.resolve(ctx, r)
	var refused *ci.Error
	if errors.As(err, &refused) && refused.Code == ci.CodeInvalid && len(refused.Fields) == 1 {
		return nil, badHost(refused.Fields[0].Message)
	}
	if err != nil {
		return nil, err
	}
	return scan(ctx, r, addrs)
}

func badHost(why string) error {
	return &ci.Error{Code: ci.CodeInvalid, Message: "the host can't be asked", Fields: []ci.Field{{Path: "host", Message: why}}}
}

// scan has one conversation for each type of key.
func scan(ctx context.Context, r remote, addrs []netip.Addr) ([]ci.HostKey, error) {
	target := net.JoinHostPort(r.host, strconv.Itoa(r.port))
	if len(addrs) > 0 { // the address that was checked
		target = net.JoinHostPort(addrs[0].String(), strconv.Itoa(r.port))
	}
	var found []ci.HostKey
	var last error
	for _, types := range hostKeyTypes {
		key, err := show(ctx, target, types)
		if err != nil {
			last = err
			continue
		}
		found = append(found, ci.HostKey{Host: sshkey.HostName(r.host, r.port), Key: string(ssh.MarshalAuthorizedKey(key))})
	}
	if len(found) == 0 {
		return nil, ci.Errorf(ci.CodeUnavailable, "%s shows no SSH host key: %w", net.JoinHostPort(r.host, strconv.Itoa(r.port)), brief(last))
	}
	return sshkey.CheckHosts(found)
}

// errShown ends a conversation whose purpose is fulfilled.
var errShown = errors.New("the host key is shown")

// show returns the key that a server proves to have.
func show(ctx context.Context, target string, types []string) (ssh.PublicKey, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var shown ssh.PublicKey
	_, _, _, err = ssh.NewClientConn(conn, target, &ssh.ClientConfig{
		User: "git", HostKeyAlgorithms: types,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			return errShown
		},
	})
	if shown != nil {
		return shown, nil
	}
	return nil, err
}

// brief is what may be told of a failure: not what the other side has said,
// which need not be an SSH server.
func brief(err error) error {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return dial.Err
	}
	return errors.New("no SSH server answers there, or none with a key of a type that is known")
}
