package machine

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"

	"ci/pkg/ci"
)

// proxy hands scripts' calls on to the API at address, and to nothing else.
func proxy(address string, log *slog.Logger) (http.Handler, error) {
	target, err := url.Parse(address)
	if err != nil || (target.Scheme != "http" && target.Scheme != "https") || target.Host == "" {
		return nil, ci.Errorf(ci.CodeInvalid, "--url %q is not the address of an API, such as https://ci.example.com", address)
	}
	return &httputil.ReverseProxy{
		FlushInterval: -1, // consoles are followed
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// A script is not a caller on the API's own machine, even where this agent is.
			r.Out.Header.Set("Via", "1.1 ci-agent")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				log.Warn("a script's call did not reach the API", "url", address, "err", err)
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"title": "unavailable", "status": http.StatusServiceUnavailable, "code": string(ci.CodeUnavailable),
				"detail": "the run's agent can't reach the API at the moment; try again",
			})
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}, nil
}
