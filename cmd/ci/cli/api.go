package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/terminal"
)

type apiOptions struct {
	*app
	texts, values, headers []string
	input                  string
	include                bool
}

func newAPI(a *app) *cobra.Command {
	o := &apiOptions{app: a}
	cmd := &cobra.Command{
		Use:   "api METHOD PATH [BODY]",
		Short: "Send one request to the REST interface as it is",
		Long: "Send one request to the REST interface and print the answer. BODY is JSON; - reads it from standard input, as --input - does. " +
			"-f and -F make the body, or with GET and HEAD the query: -f takes values as text, -F reads numbers, true, false, null, objects and lists as JSON. " +
			"A dot in a field's name goes one level down. GET /openapi.yaml tells what there is.",
		Example: "  ci api GET '/jobs/unit-test/runs?pageSize=5'\n  ci api GET /runs -f status=done -F pageSize=5 --jq '.runs[].id'\n" +
			"  ci api POST /jobs/deploy/runs -f parameters.STAGE=test -H 'Idempotency-Key: deploy-7'\n" +
			"  ci api PUT /jobs/hello --input hello.json\n  ci api GET /config | ci api PUT /config --input -",
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.texts, "field", "f", nil, "a field of the body or the query: `NAME=TEXT`; may be repeated")
	f.StringArrayVarP(&o.values, "json-field", "F", nil, "the same with a JSON value: `NAME=VALUE`; may be repeated")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "a header of the request: `NAME: VALUE`; may be repeated")
	f.StringVar(&o.input, "input", "", "read the body from this `file`; - is standard input")
	f.BoolVarP(&o.include, "include", "i", false, "print the answer's status and headers first")
	cmd.MarkFlagsMutuallyExclusive("input", "field")
	cmd.MarkFlagsMutuallyExclusive("input", "json-field")
	return cmd
}

func (o *apiOptions) run(ctx context.Context, args []string) error {
	method, path := strings.ToUpper(args[0]), args[1]
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}
	if !slices.Contains(methods, method) {
		return usagef("%q is no method; expected one of %s", args[0], strings.Join(methods, ", "))
	}
	if !strings.HasPrefix(path, "/") {
		return usagef("%q is no path; it begins with /, for example /jobs", path)
	}
	header, err := readHeaders(o.headers)
	if err != nil {
		return err
	}
	body, err := o.body(args[2:])
	if err != nil {
		return err
	}
	if len(o.texts)+len(o.values) > 0 {
		fields, err := readFields(o.texts, o.values)
		if err != nil {
			return err
		}
		if path, body, err = placed(method, path, fields, body); err != nil {
			return err
		}
	}
	r, err := o.rest()
	if err != nil {
		return err
	}
	res, err := r.send(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	return o.answer(ctx, res)
}

func (o *apiOptions) body(args []string) ([]byte, error) {
	switch {
	case o.input != "" && len(args) > 0:
		return nil, usagef("the body is there twice: as an argument and with --input")
	case o.input != "":
		return o.readFile(o.input)
	case len(args) == 0:
		return nil, nil
	case args[0] == "-":
		return o.readFile("-")
	}
	return []byte(args[0]), nil
}

// answer prints what came back: JSON as all verbs do, anything else as it is.
func (o *apiOptions) answer(ctx context.Context, res *http.Response) error {
	if o.include {
		o.head(res)
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media == "application/json" {
		data, err := io.ReadAll(io.LimitReader(res.Body, maxDocument))
		if err != nil || len(data) == 0 {
			return err
		}
		return o.printJSON(ctx, data)
	}
	if o.OutTTY {
		filter := terminal.NewFilter(o.Out, o.OutColor)
		defer filter.Close() //nolint:errcheck // the terminal is gone then
		_, err := io.Copy(filter, res.Body)
		return err
	}
	_, err := io.Copy(o.Out, res.Body)
	return err
}

func (o *apiOptions) head(res *http.Response) {
	fmt.Fprintln(o.Out, clean(res.Proto+" "+res.Status))
	for _, name := range sortedKeys(res.Header) {
		for _, value := range res.Header[name] {
			fmt.Fprintln(o.Out, clean(name+": "+value))
		}
	}
	fmt.Fprintln(o.Out)
}

func readHeaders(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" || strings.ContainsAny(line, "\r\n") {
			return nil, usagef("--header %q is none; expected NAME: VALUE", line)
		}
		if strings.EqualFold(strings.TrimSpace(name), "Authorization") {
			return nil, usagef("--header Authorization: the token is the context's, or CI_TOKEN's; it is never an argument")
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

// field is one -f or -F.
type field struct {
	name  string
	value any
}

func readFields(texts, values []string) ([]field, error) {
	var all []field
	for _, s := range texts {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, usagef("--field %q has no value; expected NAME=TEXT", s)
		}
		all = append(all, field{name, value})
	}
	for _, s := range values {
		name, text, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, usagef("--json-field %q has no value; expected NAME=VALUE", s)
		}
		if !json.Valid([]byte(text)) {
			return nil, usagef("--json-field %s: %q is not JSON; -f takes text", name, text)
		}
		all = append(all, field{name, json.RawMessage(text)})
	}
	return all, nil
}

// placed puts fields where a method has them: into the query, or the body.
func placed(method, path string, fields []field, body []byte) (string, []byte, error) {
	if method == http.MethodGet || method == http.MethodHead {
		return withQuery(path, fields), body, nil
	}
	if len(body) > 0 {
		return "", nil, usagef("the body is there already; give fields alone")
	}
	object := map[string]any{}
	for _, f := range fields {
		if err := put(object, strings.Split(f.name, "."), f.value); err != nil {
			return "", nil, usagef("field %s: %w", f.name, err)
		}
	}
	body, err := json.Marshal(object)
	return path, body, err
}

// put sets the value at the end of a way through objects.
func put(object map[string]any, way []string, value any) error {
	for _, key := range way[:len(way)-1] {
		if _, there := object[key]; !there {
			object[key] = map[string]any{}
		}
		next, ok := object[key].(map[string]any)
		if !ok {
			return fmt.Errorf("%s is a value already", key)
		}
		object = next
	}
	last := way[len(way)-1]
	if _, twice := object[last]; twice {
		return fmt.Errorf("%s is there twice", last)
	}
	object[last] = value
	return nil
}
