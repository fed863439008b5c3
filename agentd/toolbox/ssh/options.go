package ssh

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// options are what a command line asks for.
type options struct {
	user, host string
	port       int
	network    string // tcp, tcp4, tcp6
	command    string
	agent      string
	knownHosts []string
	sendEnv    []string
	timeout    time.Duration
	noStdin    bool
}

func (o *options) stdin() io.Reader {
	if o.noStdin {
		return strings.NewReader("")
	}
	return os.Stdin
}

// instead says what to do without.
const instead = "; it stands in because the image has no ssh: install OpenSSH's client there for more"

// flags without and with an argument that change nothing here.
const (
	idle      = "Tqvxa"
	argued    = "ioFlp"
	recognise = "ssh [-46nTqv] [-p port] [-l user] [-o option] [-F none] [user@]host [command]"
)

// parse reads a command line as OpenSSH does: options, the host, more
// options, and the command's words.
func parse(args []string) (*options, error) {
	o := &options{port: 22, network: "tcp", agent: os.Getenv("SSH_AUTH_SOCK"), timeout: time.Minute, knownHosts: []string{"/etc/ssh/ssh_known_hosts"}}
	if file := homeFile("known_hosts"); file != "" {
		o.knownHosts = append([]string{file}, o.knownHosts...)
	}
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			args = args[1:]
			if o.host == "" && len(args) > 0 {
				o.destination(args[0])
				args = args[1:]
			}
			return o.finish(args)
		case len(arg) > 1 && arg[0] == '-':
			rest, err := o.flags(arg[1:], args[1:])
			if err != nil {
				return nil, err
			}
			args = rest
		case o.host == "":
			o.destination(arg)
			args = args[1:]
		default:
			return o.finish(args)
		}
	}
	return o.finish(nil)
}

func (o *options) finish(command []string) (*options, error) {
	if o.host == "" {
		return nil, fmt.Errorf("usage: %s", recognise)
	}
	if strings.HasPrefix(o.host, "-") {
		return nil, fmt.Errorf("%q is not a host", o.host)
	}
	if o.user == "" {
		o.user = os.Getenv("USER")
	}
	o.command = strings.Join(command, " ")
	return o, nil
}

// destination reads "user@host", or ssh://user@host:port.
func (o *options) destination(text string) {
	text, url := strings.CutPrefix(text, "ssh://")
	if at := strings.LastIndex(text, "@"); at >= 0 {
		o.user, text = text[:at], text[at+1:]
	}
	if url {
		text = strings.TrimSuffix(text, "/")
		if colon := strings.LastIndex(text, ":"); colon > strings.LastIndex(text, "]") {
			if port, err := strconv.Atoi(text[colon+1:]); err == nil {
				o.port, text = port, text[:colon]
			}
		}
	}
	o.host = strings.Trim(text, "[]")
}

// flags reads one word of flags, and the argument of the last.
func (o *options) flags(word string, args []string) (rest []string, err error) {
	for i, f := range word {
		switch {
		case strings.ContainsRune(argued, f):
			value := word[i+1:]
			if value == "" {
				if len(args) == 0 {
					return nil, fmt.Errorf("-%c needs an argument", f)
				}
				value, args = args[0], args[1:]
			}
			return args, o.argument(f, value)
		case f == '4' || f == '6':
			o.network = "tcp" + string(f)
		case f == 'n':
			o.noStdin = true
		case f == 'V':
			return nil, fmt.Errorf("the small one of the ci toolbox%s", instead)
		case !strings.ContainsRune(idle, f):
			return nil, fmt.Errorf("this small ssh does not know -%c%s", f, instead)
		}
	}
	return args, nil
}

func (o *options) argument(flag rune, value string) error {
	switch flag {
	case 'p':
		return o.setPort(value)
	case 'l':
		o.user = value
	case 'o':
		name, v, ok := strings.Cut(value, "=")
		if !ok {
			name, v, _ = strings.Cut(value, " ")
		}
		return o.set(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(v))
	}
	return nil // -F and -i: no files are read
}

func (o *options) setPort(value string) (err error) {
	if o.port, err = strconv.Atoi(value); err != nil || o.port < 1 || o.port > 65535 {
		return fmt.Errorf("%q is not a port", value)
	}
	return nil
}

// harmless are options whose values make no difference here: this client is as
// strict, and does as little, as any of them can ask for.
var harmless = map[string]bool{
	"batchmode": true, "stricthostkeychecking": true, "updatehostkeys": true, "identityfile": true, "identitiesonly": true,
	"preferredauthentications": true, "pubkeyauthentication": true, "passwordauthentication": true, "kbdinteractiveauthentication": true,
	"clearallforwardings": true, "controlmaster": true, "controlpath": true, "controlpersist": true, "permitlocalcommand": true,
	"serveraliveinterval": true, "serveralivecountmax": true, "tcpkeepalive": true, "loglevel": true, "hashknownhosts": true,
	"checkhostip": true, "visualhostkey": true, "requesttty": true, "connectionattempts": true, "compression": true,
}

func (o *options) set(name, value string) error {
	switch name {
	case "port":
		return o.setPort(value)
	case "user":
		o.user = value
	case "userknownhostsfile":
		o.knownHosts = strings.Fields(value)
	case "globalknownhostsfile":
		o.knownHosts = append(o.knownHosts, strings.Fields(value)...)
	case "identityagent":
		if o.agent = value; value == "none" {
			o.agent = ""
		}
	case "sendenv":
		for _, n := range strings.Fields(value) {
			if !strings.ContainsAny(n, "*?") {
				o.sendEnv = append(o.sendEnv, n)
			}
		}
	case "connecttimeout":
		seconds, err := strconv.Atoi(value)
		if err != nil || seconds < 1 {
			return fmt.Errorf("%q is not a number of seconds", value)
		}
		o.timeout = time.Duration(seconds) * time.Second
	case "forwardagent":
		if value != "no" {
			return fmt.Errorf("this small ssh forwards nothing%s", instead)
		}
	default:
		if !harmless[name] {
			return fmt.Errorf("this small ssh does not know the option %s%s", name, instead)
		}
	}
	return nil
}
