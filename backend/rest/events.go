package rest

import (
	"net/http"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"ci/backend/rpc/wirejson"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// eventSink writes events in one of the two forms.
type eventSink interface {
	event(name string, id int64, data string) error
	ping() error
}

// serveEvents streams events: server-sent, or lines of JSON where they are asked for.
func (s *server) serveEvents(w *recorder, r *http.Request, _ []string) error {
	req, err := eventsRequest(r)
	if err != nil {
		return err
	}
	ctx, cancel := s.rpc.UntilStop(r.Context())
	defer cancel()
	var sink eventSink
	open := func(after int64) (err error) {
		w.Header().Set("X-Events-After", strconv.FormatInt(after, 10))
		sink, err = s.newSink(w, r)
		return err
	}
	err = s.rpc.Follow(ctx, req, pingEvery, open, func(e *civ1.Event) error {
		if e == nil {
			return sink.ping()
		}
		data, err := wirejson.Marshal(e)
		if err != nil {
			return err
		}
		return sink.event("", int64(e.GetSeq()), string(data))
	})
	return ended(ctx, err)
}

func (s *server) newSink(w *recorder, r *http.Request) (eventSink, error) {
	w.Header().Add("Vary", "Accept")
	if !accepts(r, "application/x-ndjson") {
		return s.newSSE(w, r)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := &ndjson{s.newStream(w)}
	if r.Method == http.MethodHead {
		return out, errGone
	}
	return out, out.ping()
}

// eventsRequest reads ?after and ?job. A reconnecting browser's Last-Event-ID goes before ?after.
func eventsRequest(r *http.Request) (*civ1.WatchEventsRequest, error) {
	req := new(civ1.WatchEventsRequest)
	fields := map[string]protoreflect.FieldDescriptor{}
	all := req.ProtoReflect().Descriptor().Fields()
	for i := range all.Len() {
		fields[all.Get(i).JSONName()] = all.Get(i)
	}
	if err := setQuery(req.ProtoReflect(), fields, r.URL.RawQuery); err != nil {
		return nil, err
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if msg := setParam(req.ProtoReflect(), fields["after"], last); msg != "" {
			return nil, &ci.Error{Code: ci.CodeInvalid, Message: "the request is not valid", Fields: []ci.Field{{Path: "Last-Event-ID", Message: msg}}}
		}
	}
	return req, nil
}

// ndjson writes one JSON document a line. An empty line is its ping.
type ndjson struct{ out *stream }

func (n *ndjson) event(_ string, _ int64, data string) error { return n.send(data + "\n") }

func (n *ndjson) ping() error { return n.send("\n") }

func (n *ndjson) send(text string) error {
	if _, err := n.out.Write([]byte(text)); err != nil {
		return errGone
	}
	return nil
}
