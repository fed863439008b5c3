package ci

import "encoding/base64"

// GitAccess is what a repository is reached with; both are nil where it is anybody's to read.
type GitAccess struct {
	SSH  *SSHAccess
	HTTP *HTTPAccess
}

// HTTPAccess opens one repository over HTTP for reading. It is kept in memory
// only, and ends by itself within the hour.
type HTTPAccess struct {
	Username string
	Password string
}

// Authorization is the header's value: Basic authentication (RFC 7617).
func (a *HTTPAccess) Authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password))
}
