package sshkey

import (
	"crypto/rsa"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"ci/pkg/ci"
)

// MaxHosts is how many host keys one key pair may have.
const MaxHosts = 64

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$`)

// CheckHosts returns hosts in the form in which they are stored: hosts as
// known_hosts writes them, keys without a comment, fingerprints filled in.
// Errors are CodeInvalid and name each field that is wrong.
func CheckHosts(hosts []ci.HostKey) ([]ci.HostKey, error) {
	var faults []ci.Field
	fault := func(i int, field, format string, args ...any) {
		faults = append(faults, ci.Field{Path: fmt.Sprintf("hosts[%d].%s", i, field), Message: fmt.Sprintf(format, args...)})
	}
	if len(hosts) > MaxHosts {
		faults = append(faults, ci.Field{Path: "hosts", Message: fmt.Sprintf("has %d entries; at most %d are allowed", len(hosts), MaxHosts)})
		hosts = nil
	}
	checked := make([]ci.HostKey, 0, len(hosts))
	for i, h := range hosts {
		host, err := NormalHost(h.Host)
		if err != nil {
			fault(i, "host", "%v", err)
		}
		key, err := hostKey(h.Key)
		if err != nil {
			fault(i, "key", "%v", err)
			continue
		}
		h = ci.HostKey{Host: host, Key: line(key), Fingerprint: ssh.FingerprintSHA256(key)}
		if !slices.Contains(checked, h) {
			checked = append(checked, h)
		}
	}
	if faults != nil {
		return nil, &ci.Error{Code: ci.CodeInvalid, Message: "the key's hosts are not valid", Fields: faults}
	}
	return checked, nil
}

// NormalHost reads "host", "host:port" or "[host]:port" and writes it as
// known_hosts does: lower case, and the port only when it is not 22.
func NormalHost(text string) (string, error) {
	host, port, err := SplitHost(text)
	if err != nil {
		return "", err
	}
	return HostName(host, port), nil
}

// SplitHost takes "host", "host:port" or "[host]:port" apart. The port is 22 when there is none.
func SplitHost(text string) (host string, port int, err error) {
	host, port = strings.ToLower(text), 22
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && addr.Zone() == "" {
		return addr.Unmap().String(), port, nil
	}
	if strings.Contains(host, ":") {
		var digits string
		if host, digits, err = net.SplitHostPort(host); err != nil {
			return "", 0, fmt.Errorf("%.300q is neither host nor host:port", text)
		}
		if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
			return "", 0, fmt.Errorf("%.300q has a port that is not between 1 and 65535", text)
		}
		if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
			return addr.Unmap().String(), port, nil
		}
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > 253 || !hostName.MatchString(host) {
		return "", 0, fmt.Errorf("%.300q is not a host; write a name or an address, such as git.example.com or [git.example.com]:2222, without patterns", text)
	}
	return host, port, nil
}

// HostName is how known_hosts writes a host.
func HostName(host string, port int) string {
	if port == 22 {
		return host
	}
	return "[" + host + "]:" + strconv.Itoa(port)
}

// hostKey reads "type base64", perhaps with a comment.
func hostKey(text string) (ssh.PublicKey, error) {
	text = strings.TrimSpace(text)
	if len(text) > 16<<10 || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("is not one line of a host key; write its type and base64, such as ssh-ed25519 AAAA…")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 {
		return nil, fmt.Errorf("is not a host key; write its type and base64, such as ssh-ed25519 AAAA…")
	}
	if strings.Fields(text)[0] != key.Type() {
		return nil, fmt.Errorf("says that it is %.100q and is %s", strings.Fields(text)[0], key.Type())
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return key, nil
	case ssh.KeyAlgoRSA:
		if r, ok := key.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() >= 2048 {
			return key, nil
		}
		return nil, fmt.Errorf("is an RSA key of less than 2048 bits, which can be broken")
	}
	return nil, fmt.Errorf("is of type %s; ssh-ed25519, ecdsa-sha2-nistp256, -384, -521 and ssh-rsa are accepted", key.Type())
}

// KnownHosts is the text of a known_hosts file that believes hosts and nobody else.
func KnownHosts(hosts []ci.HostKey) []byte {
	var b strings.Builder
	for _, h := range hosts {
		b.WriteString(h.Host + " " + h.Key + "\n")
	}
	return []byte(b.String())
}

// Knows says whether hosts have a key for this server.
func Knows(hosts []ci.HostKey, host string, port int) bool {
	name, err := NormalHost(HostName(host, port))
	if err != nil {
		return false
	}
	for _, h := range hosts {
		if h.Host == name {
			return true
		}
	}
	return false
}
