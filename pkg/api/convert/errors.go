package convert

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// kinds gives every code of ci its HTTP status and its Connect code. Connect
// has fewer, so the detail of an error repeats ours.
var kinds = map[ci.Code]struct {
	status  int
	connect connect.Code
}{
	ci.CodeInvalid:      {400, connect.CodeInvalidArgument},
	ci.CodeUnauthorized: {401, connect.CodeUnauthenticated},
	ci.CodeForbidden:    {403, connect.CodePermissionDenied},
	ci.CodeNotFound:     {404, connect.CodeNotFound},
	ci.CodeExpired:      {410, connect.CodeDataLoss},
	ci.CodeConflict:     {409, connect.CodeFailedPrecondition},
	ci.CodeStale:        {412, connect.CodeAborted},
	ci.CodeTooLarge:     {413, connect.CodeOutOfRange},
	ci.CodeMismatch:     {422, connect.CodeAlreadyExists},
	ci.CodeTooMany:      {429, connect.CodeResourceExhausted},
	ci.CodeInternal:     {500, connect.CodeInternal},
	ci.CodeUnavailable:  {503, connect.CodeUnavailable},
}

// Status returns the HTTP status of a code; 500 for one it does not know.
func Status(code ci.Code) int {
	if k, ok := kinds[code]; ok {
		return k.status
	}
	return 500
}

// CodeOfStatus returns the code that stands for an HTTP status, for answers
// that are not ours (a proxy's 502).
func CodeOfStatus(status int) ci.Code {
	for code, k := range kinds {
		if k.status == status {
			return code
		}
	}
	switch {
	case status == 405 || status == 415 || status == 416:
		return ci.CodeInvalid
	case status == 502 || status == 504:
		return ci.CodeUnavailable
	case status >= 400 && status < 500:
		return ci.CodeInvalid
	}
	return ci.CodeInternal
}

// Public returns what callers may see of err: a ci.Error as it is, and a plain
// sentence for anything else.
func Public(err error) *ci.Error {
	var e *ci.Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &ci.Error{Code: ci.CodeUnavailable, Message: "the request was given up before it was done", Cause: err}
	}
	return &ci.Error{Code: ci.CodeInternal, Message: "something went wrong in the server; its log says what, under this request's id", Cause: err}
}

// ToConnect makes the Connect error of err. A Connect error stays as it is.
func ToConnect(err error, requestID string) *connect.Error {
	var ce *connect.Error
	if errors.As(err, &ce) {
		return ce
	}
	e := Public(err)
	code := connect.CodeInternal
	if k, ok := kinds[e.Code]; ok {
		code = k.connect
	}
	out := connect.NewError(code, errors.New(e.Message))
	detail := &civ1.ErrorDetail{Code: string(e.Code), RequestId: requestID}
	for _, f := range e.Fields {
		detail.Errors = append(detail.Errors, &civ1.FieldError{Path: f.Path, Message: f.Message})
	}
	if d, err := connect.NewErrorDetail(detail); err == nil {
		out.AddDetail(d)
	}
	return out
}

// FromConnect makes the ci.Error of what a Connect client returned. A server
// that could not be reached is CodeUnavailable. nil stays nil.
func FromConnect(err error) error {
	if err == nil {
		return nil
	}
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return &ci.Error{Code: ci.CodeUnavailable, Message: err.Error(), Cause: err}
	}
	out := &ci.Error{Code: codeOfConnect(ce.Code()), Message: ce.Message(), Cause: err}
	for _, d := range ce.Details() {
		v, verr := d.Value()
		detail, ok := v.(*civ1.ErrorDetail)
		if verr != nil || !ok {
			continue
		}
		out.Code = ci.Code(detail.GetCode())
		for _, f := range detail.GetErrors() {
			out.Fields = append(out.Fields, ci.Field{Path: f.GetPath(), Message: f.GetMessage()})
		}
	}
	return out
}

func codeOfConnect(code connect.Code) ci.Code {
	for c, k := range kinds {
		if k.connect == code {
			return c
		}
	}
	switch code {
	case connect.CodeCanceled, connect.CodeDeadlineExceeded:
		return ci.CodeUnavailable
	case connect.CodeUnimplemented:
		return ci.CodeNotFound
	}
	return ci.CodeInternal
}
