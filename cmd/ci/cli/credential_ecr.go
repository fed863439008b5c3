package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ci/pkg/ci"
)

// ecrPatience is how long AWS may take to make a password.
const ecrPatience = 30 * time.Second

// ecrAccount asks Amazon ECR for an account: GetAuthorizationToken of its API.
// AWS_ENDPOINT_URL_ECR names another endpoint, as it does for AWS's own programs.
func (a *app) ecrAccount(ctx context.Context, region, domain string) (*dockerAccount, error) {
	ctx, cancel := context.WithTimeout(ctx, ecrPatience)
	defer cancel()
	body := []byte("{}")
	endpoint := cmp.Or(a.Env("AWS_ENDPOINT_URL_ECR"), "https://api.ecr."+region+"."+domain)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return nil, usagef("AWS_ENDPOINT_URL_ECR is no URL: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
	if token := a.Env("AWS_SESSION_TOKEN"); token != "" {
		req.Header.Set("X-Amz-Security-Token", token)
	}
	secret, err := a.variable("AWS_SECRET_ACCESS_KEY")
	if err != nil {
		return nil, err
	}
	signAWS(req, body, awsKey{id: a.Env("AWS_ACCESS_KEY_ID"), secret: secret, region: region, service: "ecr"}, a.Now())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, ci.Errorf(ci.CodeUnavailable, "Amazon ECR at %s can't be reached: %w", endpoint, unwrapURL(err))
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, ci.Errorf(ci.CodeForbidden, "Amazon ECR gives no password: %s %.300s", res.Status, clean(string(text)))
	}
	return ecrAnswer(text)
}

// ecrAnswer reads the account out of an answer of GetAuthorizationToken.
func ecrAnswer(text []byte) (*dockerAccount, error) {
	var doc struct {
		AuthorizationData []struct{ AuthorizationToken string }
	}
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.AuthorizationData) == 0 {
		return nil, ci.Errorf(ci.CodeInternal, "the answer of Amazon ECR holds no authorizationData")
	}
	pair, err := base64.StdEncoding.DecodeString(doc.AuthorizationData[0].AuthorizationToken)
	user, password, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok {
		return nil, ci.Errorf(ci.CodeInternal, "the answer of Amazon ECR holds no account")
	}
	return &dockerAccount{Username: user, Secret: password}, nil
}

// awsKey is an access key, and what a signature with it is for.
type awsKey struct{ id, secret, region, service string }

// signAWS signs a request by AWS's Signature Version 4, over its host, its
// content type and all its X-Amz headers.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
func signAWS(req *http.Request, body []byte, key awsKey, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	req.Header.Set("X-Amz-Date", stamp)
	values := map[string]string{"host": req.URL.Host}
	for name := range req.Header {
		if lower := strings.ToLower(name); lower == "content-type" || strings.HasPrefix(lower, "x-amz-") {
			values[lower] = strings.TrimSpace(req.Header.Get(name))
		}
	}
	names := sortedKeys(values)
	var headers strings.Builder
	for _, name := range names {
		headers.WriteString(name + ":" + values[name] + "\n")
	}
	signed := strings.Join(names, ";")
	canonical := strings.Join([]string{req.Method, cmp.Or(req.URL.EscapedPath(), "/"), awsQuery(req.URL.Query()), headers.String(), signed, hexSum(body)}, "\n")
	scope := strings.Join([]string{stamp[:8], key.region, key.service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hexSum([]byte(canonical))}, "\n")
	sum := []byte("AWS4" + key.secret)
	for _, part := range []string{stamp[:8], key.region, key.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, sum)
		mac.Write([]byte(part))
		sum = mac.Sum(nil)
	}
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", key.id, scope, signed, sum))
}

// awsQuery is a query as it is signed: sorted, with %20 for spaces.
func awsQuery(q url.Values) string {
	for _, values := range q {
		slices.Sort(values)
	}
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
