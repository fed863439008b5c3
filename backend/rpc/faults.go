package rpc

import (
	"fmt"

	"ci/pkg/ci"
)

// wrong is the error of one field.
func wrong(what, path, format string, args ...any) error {
	return &ci.Error{
		Code:    ci.CodeInvalid,
		Message: what + " is not valid",
		Fields:  []ci.Field{{Path: path, Message: fmt.Sprintf(format, args...)}},
	}
}

// orEmpty stands in for a message that the caller left out.
func orEmpty[M any](m *M) *M {
	if m == nil {
		return new(M)
	}
	return m
}
