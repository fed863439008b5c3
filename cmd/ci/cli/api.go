package cli

import (
	"context"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newAPI(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "api METHOD PATH [BODY]",
		Short: "Send one request to the REST interface as it is",
		Long: "Send one request to the REST interface and print the answer. BODY is JSON; - reads it from standard input. " +
			"GET /openapi.yaml tells what there is.",
		Example: "  ci api GET /jobs/unit-test/runs?pageSize=5\n  ci api PUT /config - < config.json",
		Args:    cobra.RangeArgs(2, 3),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.api(cmd.Context(), args) },
	}
}

func (a *app) api(ctx context.Context, args []string) error {
	method, path := strings.ToUpper(args[0]), args[1]
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}
	if !slices.Contains(methods, method) {
		return usagef("%q is no method; expected one of %s", args[0], strings.Join(methods, ", "))
	}
	if !strings.HasPrefix(path, "/") {
		return usagef("%q is no path; it begins with /, for example /jobs", path)
	}
	body, err := a.apiBody(args[2:])
	if err != nil {
		return err
	}
	r, err := a.rest()
	if err != nil {
		return err
	}
	res, err := r.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media == "application/json" {
		data, err := io.ReadAll(io.LimitReader(res.Body, maxDocument))
		if err != nil || len(data) == 0 {
			return err
		}
		return a.printJSON(ctx, data)
	}
	if a.OutTTY {
		filter := &consoleFilter{w: a.Out, color: a.OutColor}
		defer filter.Close() //nolint:errcheck // the terminal is gone then
		_, err = io.Copy(filter, res.Body)
		return err
	}
	_, err = io.Copy(a.Out, res.Body)
	return err
}

func (a *app) apiBody(args []string) ([]byte, error) {
	switch {
	case len(args) == 0:
		return nil, nil
	case args[0] == "-":
		return a.readFile("-")
	}
	return []byte(args[0]), nil
}
