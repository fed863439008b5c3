package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/rpc"
	"ci/backend/rpc/wirejson"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// transcoder turns REST requests into one method's messages and its answers into REST's.
type transcoder struct {
	server *server
	method *rpc.Method
	vars   []protoreflect.FieldDescriptor // of the path, in order
	query  map[string]protoreflect.FieldDescriptor
	// headers are the fields that travel in HTTP headers, by the header's name.
	headers map[string]protoreflect.FieldDescriptor
	// body is the field that the body is read into; nil reads it into the whole
	// request where wholeBody, and else there is none.
	body      protoreflect.FieldDescriptor
	wholeBody bool
	// answer is the field that is the answer's body; nil is all of it.
	answer protoreflect.FieldDescriptor
}

// newTranscoder sorts the request's fields into path, headers, body and query.
func (s *server) newTranscoder(m *rpc.Method, rule *annotations.HttpRule, pattern string) (*transcoder, error) {
	t := &transcoder{
		server: s, method: m,
		query: map[string]protoreflect.FieldDescriptor{}, headers: map[string]protoreflect.FieldDescriptor{},
		wholeBody: rule.GetBody() == "*",
	}
	in := m.Descriptor.Input().Fields()
	taken := map[protoreflect.Name]bool{}
	for _, seg := range strings.Split(pattern, "/") {
		if !strings.HasPrefix(seg, "{") {
			continue
		}
		fd := in.ByName(protoreflect.Name(strings.Trim(seg, "{}")))
		if fd == nil {
			return nil, fmt.Errorf("rest: %s has no field for %s of its path", m.Procedure, seg)
		}
		t.vars, taken[fd.Name()] = append(t.vars, fd), true
	}
	if b := rule.GetBody(); b != "" && b != "*" {
		if t.body = in.ByName(protoreflect.Name(b)); t.body == nil {
			return nil, fmt.Errorf("rest: %s has no field %s for its body", m.Procedure, b)
		}
		taken[t.body.Name()] = true
	}
	for i := range in.Len() {
		fd := in.Get(i)
		if h, _ := proto.GetExtension(fd.Options(), civ1.E_Header).(string); h != "" {
			t.headers[h] = fd
		} else if !taken[fd.Name()] && !t.wholeBody {
			t.query[fd.JSONName()] = fd
		}
	}
	if a := rule.GetResponseBody(); a != "" {
		t.answer = m.Descriptor.Output().Fields().ByName(protoreflect.Name(a))
	}
	return t, nil
}

func (t *transcoder) serve(w *recorder, r *http.Request, vars []string) error {
	req, err := t.decode(w, r, vars)
	if err != nil {
		return err
	}
	resp, err := t.method.Call(r.Context(), req)
	if err != nil {
		return err
	}
	return t.reply(w, r, resp)
}

func (t *transcoder) decode(w *recorder, r *http.Request, vars []string) (proto.Message, error) {
	req := t.method.New()
	m := req.ProtoReflect()
	for i, fd := range t.vars {
		if err := setVar(m, fd, vars[i]); err != nil {
			return nil, err
		}
	}
	// Rights come before syntax: who may not do this learns nothing else about it.
	if err := t.method.Authorize(r.Context(), req); err != nil {
		return nil, err
	}
	if err := setQuery(m, t.query, r.URL.RawQuery); err != nil {
		return nil, err
	}
	for name, fd := range t.headers {
		if err := setHeader(m, fd, name, r.Header.Values(name)); err != nil {
			return nil, err
		}
	}
	return req, t.decodeBody(w, r, m)
}

func (t *transcoder) decodeBody(w *recorder, r *http.Request, m protoreflect.Message) error {
	data, err := t.server.readBody(w, r)
	if err != nil || data == nil {
		return err
	}
	switch {
	case t.body != nil:
		return wirejson.Unmarshal(data, m.Mutable(t.body).Message().Interface())
	case t.wholeBody:
		return wirejson.Unmarshal(data, m.Interface())
	}
	// Some clients send {} with every POST.
	return wirejson.Unmarshal(data, new(emptypb.Empty))
}

// setVar puts a part of the path into the request. What can't be an id names nothing.
func setVar(m protoreflect.Message, fd protoreflect.FieldDescriptor, value string) error {
	if fd.Kind() == protoreflect.StringKind {
		m.Set(fd, protoreflect.ValueOfString(value))
		return nil
	}
	id, err := parseID(value)
	if err != nil {
		return err
	}
	m.Set(fd, protoreflect.ValueOfUint32(id))
	return nil
}

func parseID(value string) (uint32, error) {
	id, err := strconv.ParseUint(value, 10, 32)
	if err != nil || strconv.FormatUint(id, 10) != value {
		return 0, ci.Errorf(ci.CodeNotFound, "there is no run %s; ids of runs are whole numbers", cutText(value, 40))
	}
	return uint32(id), nil
}
