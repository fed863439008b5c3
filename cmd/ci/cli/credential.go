package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

const credentialHelp = `Hand credentials from the environment to programs that ask for them, in the form that each wants: never in an argument, which everybody on the machine could read, and never in a file.

In a job with ci: true the job's secrets are the environment, and the console shows none of them. docs/guides/artifacts.md has whole job files.`

func newCredential(a *app) *cobra.Command {
	cmd := parent("credential", "Hand credentials from the environment to curl, crane, skopeo, docker and others", newCredentialCurl(a), newCredentialDocker(a))
	cmd.Long = credentialHelp
	return cmd
}

type credentialCurlOptions struct {
	*app
	username, password, bearer string
}

func newCredentialCurl(a *app) *cobra.Command {
	o := &credentialCurlOptions{app: a}
	cmd := &cobra.Command{
		Use: "curl", Short: "Write a configuration for `curl -K -` with an account or a token",
		Long:    "Write what `curl -K -` reads: an account (basic authentication, or with --aws-sigv4 a key of S3) or a bearer token, from variables of the environment. It goes into a pipe; a terminal is refused.",
		Example: "  ci credential curl --bearer-from CI_TOKEN | curl -sSf -K - https://ci.example.com/jobs",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return o.run() },
	}
	cmd.Flags().StringVar(&o.username, "username-from", "", "the `variable` that holds the user's name, or the id of an access key")
	cmd.Flags().StringVar(&o.password, "password-from", "", "the `variable` that holds the password, or the secret of an access key")
	cmd.Flags().StringVar(&o.bearer, "bearer-from", "", "the `variable` that holds a bearer token")
	cmd.MarkFlagsRequiredTogether("username-from", "password-from")
	cmd.MarkFlagsMutuallyExclusive("bearer-from", "password-from")
	cmd.MarkFlagsOneRequired("bearer-from", "password-from")
	return cmd
}

func (o *credentialCurlOptions) run() error {
	if err := o.piped(); err != nil {
		return err
	}
	if o.bearer != "" {
		token, err := o.variable(o.bearer)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "header = %s\n", curlText("Authorization: Bearer "+token))
		return nil
	}
	user, err1 := o.variable(o.username)
	password, err2 := o.variable(o.password)
	switch {
	case err1 != nil || err2 != nil:
		return errors.Join(err1, err2)
	case strings.Contains(user, ":"):
		return usagef("the value of %s has a colon, which would end a user's name", o.username)
	}
	fmt.Fprintf(o.Out, "user = %s\n", curlText(user+":"+password))
	return nil
}

// piped refuses to show credentials on a terminal.
func (a *app) piped() error {
	if a.OutTTY {
		return usagef("it would show a credential on this terminal; give it to a program by a pipe")
	}
	return nil
}

// variable is a value that is there and can stand in a header.
func (a *app) variable(name string) (string, error) {
	value := a.Env(name)
	switch {
	case value == "":
		return "", usagef("the variable %s is empty; in a job, name the secret in env and give it a value with `ci secret set`", name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", usagef("the value of %s has a line end or another control character, perhaps at its end; set it without", name)
	}
	return value, nil
}

// curlText is a text as curl's configuration files quote it.
func curlText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

const credentialDockerHelp = `Answer as a credential helper of Docker. Programs that log in to registries call it by the name docker-credential-ci: that name is beside ci in jobs with ci: true, and elsewhere a link to ci. They are told to by

  {"credHelpers": {"registry.example.com": "ci"}}

in $DOCKER_CONFIG/config.json, which holds no secret. For get it reads a registry's address, and answers with the account in

  REGISTRY_USERNAME_REGISTRY_EXAMPLE_COM and REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM

with the host's name in capitals and _ for what is neither letter nor digit (and its port, if it has one: HOST_5000). Docker Hub is DOCKER_IO. A host gets what is set for its own variables and nothing else; hosts that differ in such signs alone, as a-b.example.com and a.b.example.com do, have the same ones. Names with other letters than ASCII are refused: write xn--….

A registry of Amazon ECR (ACCOUNT.dkr.ecr.REGION.amazonaws.com) needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where there is one: its password, which ends after 12 hours, is asked for at AWS. It is no secret of the job, so the console does not mask it: it must not be printed.

Nothing is stored: store is refused, and erase has nothing to do.`

func newCredentialDocker(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "docker get|store|erase|list", Short: "Answer as Docker's credential helper docker-credential-ci",
		Long:      credentialDockerHelp,
		Example:   "  echo registry.example.com | REGISTRY_USERNAME_REGISTRY_EXAMPLE_COM=me REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM=$CI_TOKEN ci credential docker get | jq -r .Username",
		ValidArgs: []string{"get", "store", "erase", "list"}, Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error { return a.credentialDocker(cmd.Context(), args[0]) },
	}
}

// maxAddress is the longest address of a registry that is read.
const maxAddress = 4 << 10

// notFound is what the protocol's callers know as "there is none": they go on without an account.
const notFound = "credentials not found in native keychain"

// dockerAccount is an answer of Docker's protocol for credential helpers.
type dockerAccount struct {
	ServerURL string
	Username  string
	Secret    string
}

func (a *app) credentialDocker(ctx context.Context, action string) error {
	if err := a.piped(); err != nil {
		return err
	}
	in, err := io.ReadAll(io.LimitReader(a.In, maxAddress))
	if err != nil {
		return err
	}
	switch action {
	case "list":
		fmt.Fprintln(a.Out, "{}") // whose the variables are can't be told from their names
		return nil
	case "erase":
		return nil
	case "store": // callers show what is on standard output
		fmt.Fprintln(a.Out, "docker-credential-ci stores nothing: it takes accounts from the environment (ci credential docker --help)")
		return &exitError{code: exitFailed}
	}
	server := strings.TrimSpace(string(in))
	account, err := a.registryAccount(ctx, server)
	if ci.CodeOf(err) == ci.CodeNotFound {
		fmt.Fprintln(a.Out, notFound)
		a.note("docker-credential-ci: %s", err)
		return &exitError{code: exitFailed}
	}
	if err != nil {
		fmt.Fprintln(a.Out, "docker-credential-ci: "+err.Error())
		return &exitError{code: exitFailed}
	}
	account.ServerURL = server
	return json.NewEncoder(a.Out).Encode(account)
}

// ecrHost is the name of a registry of Amazon ECR.
var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)$`)

// registryAccount is the account for a registry; ci.CodeNotFound when the environment has none.
func (a *app) registryAccount(ctx context.Context, server string) (*dockerAccount, error) {
	host := registryHost(server)
	switch {
	case host == "":
		return nil, usagef("%q is not the address of a registry", clean(server))
	case !ascii(host):
		// Some letters have ASCII ones as their capitals (ı and ſ do), and so another host's variables.
		return nil, usagef("the registry %q has letters beyond ASCII; write its name as xn--…", clean(server))
	}
	name := registryVariable(host)
	user, password := "REGISTRY_USERNAME_"+name, "REGISTRY_PASSWORD_"+name
	if a.Env(password) != "" {
		u, err1 := a.variable(user)
		p, err2 := a.variable(password)
		return &dockerAccount{Username: u, Secret: p}, errors.Join(err1, err2)
	}
	if at := ecrHost.FindStringSubmatch(host); at != nil && a.Env("AWS_ACCESS_KEY_ID") != "" {
		return a.ecrAccount(ctx, at[1], at[2])
	}
	return nil, ci.Errorf(ci.CodeNotFound, "%s and %s are not set, so %s gets no account", user, password, clean(host))
}

// registryHost is the host, and port, of an address as programs write it, in small
// letters if it is ASCII. Docker Hub has several names.
func registryHost(server string) string {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	if !ascii(u.Host) {
		return u.Host // the Kelvin sign's small letter is k
	}
	host := strings.ToLower(u.Host)
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return "docker.io"
	}
	return host
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// registryVariable is how variables call a host.
func registryVariable(host string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(host))
}
