package rpc

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ci/backend/auth"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// Method is one method of the wire, ready to be called in process.
type Method struct {
	// Procedure is its Connect path, "/ci.v1.RunService/GetRun".
	Procedure  string
	Descriptor protoreflect.MethodDescriptor
	// Action is what a caller must be allowed to do.
	Action auth.Action
	// Held says that the answer may be held on purpose.
	Held bool
	// Status is the HTTP status of a success; 0 is the usual one.
	Status int
	// New makes an empty request.
	New func() proto.Message
	// call is nil for streams.
	call func(context.Context, proto.Message) (proto.Message, error)
	// job is the request's field that names the job it is about; nil if none does.
	job protoreflect.FieldDescriptor
	// run is the request's field with the id of the run that it is about; nil if none does.
	run protoreflect.FieldDescriptor
	// find returns a run.
	find func(ctx context.Context, job string, id int64) (*ci.Run, error)
}

// Call checks the caller's rights and calls the method. Streams can't be called.
func (m *Method) Call(ctx context.Context, req proto.Message) (proto.Message, error) {
	if err := m.Authorize(ctx, req); err != nil {
		return nil, err
	}
	return m.call(ctx, req)
}

// Authorize says whether the caller may send req.
func (m *Method) Authorize(ctx context.Context, req proto.Message) error {
	p, _ := auth.FromContext(ctx)
	job := ""
	if m.job != nil {
		job = req.ProtoReflect().Get(m.job).String()
	}
	if err := auth.May(p, m.Action, job); err != nil || m.run == nil {
		return err
	}
	if m.job != nil && p.Role != ci.RoleRun {
		return nil
	}
	run, err := m.find(ctx, job, int64(req.ProtoReflect().Get(m.run).Uint()))
	if err != nil {
		return err
	}
	if !p.Sees(run.Job) { // in the words of one that is not there: its job's name is not for the caller
		return ci.Errorf(ci.CodeNotFound, "there is no run %d", run.ID)
	}
	return auth.MayRun(p, m.Action, run)
}

// Stream says whether the method takes a stream or answers with one.
func (m *Method) Stream() bool {
	return m.Descriptor.IsStreamingServer() || m.Descriptor.IsStreamingClient()
}

// Methods returns every method by its procedure.
func (s *Services) Methods() map[string]*Method { return s.methods }

// files are the files whose services make up the API.
func files() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		civ1.File_ci_v1_job_service_proto,
		civ1.File_ci_v1_run_service_proto,
		civ1.File_ci_v1_agent_service_proto,
		civ1.File_ci_v1_config_service_proto,
		civ1.File_ci_v1_token_service_proto,
		civ1.File_ci_v1_event_service_proto,
		civ1.File_ci_v1_ssh_key_service_proto,
		civ1.File_ci_v1_secret_service_proto,
		civ1.File_ci_v1_work_service_proto,
		civ1.File_ci_v1_forge_service_proto,
		civ1.File_ci_v1_retention_service_proto,
	}
}

// table joins the descriptors with the functions. A method without a function,
// or without a right that guards it, is an error at start-up.
func (s *Services) table() (map[string]*Method, error) {
	funcs := s.funcs()
	table := map[string]*Method{}
	for _, f := range files() {
		for i := range f.Services().Len() {
			svc := f.Services().Get(i)
			for k := range svc.Methods().Len() {
				m := newMethod(svc.Methods().Get(k))
				fn, ok := funcs[string(m.Descriptor.Name())]
				if !ok || m.Action == "" {
					return nil, fmt.Errorf("rpc: %s has no function, or no access option", m.Procedure)
				}
				m.New, m.call, m.find = fn.new, fn.call, s.Store.GetRun
				table[m.Procedure] = m
			}
		}
	}
	return table, nil
}

func newMethod(md protoreflect.MethodDescriptor) *Method {
	access, _ := proto.GetExtension(md.Options(), civ1.E_Access).(*civ1.Access)
	m := &Method{
		Procedure:  fmt.Sprintf("/%s/%s", md.Parent().FullName(), md.Name()),
		Descriptor: md,
		Action:     auth.Action(access.GetAction()),
		Held:       access.GetHeld(),
		Status:     int(access.GetStatus()),
	}
	fields := md.Input().Fields()
	if m.job = fields.ByName("name"); m.job == nil {
		m.job = fields.ByName("job")
	}
	if id := fields.ByName("id"); id != nil && id.Kind() == protoreflect.Uint32Kind {
		m.run = id
	}
	return m
}

type function struct {
	new  func() proto.Message
	call func(context.Context, proto.Message) (proto.Message, error)
}

// unary makes a function of a method's typed Go function.
func unary[In, Out any, PIn interface {
	*In
	proto.Message
}, POut interface {
	*Out
	proto.Message
}](fn func(context.Context, *In) (*Out, error)) function {
	return function{
		new: func() proto.Message { return PIn(new(In)) },
		call: func(ctx context.Context, req proto.Message) (proto.Message, error) {
			out, err := fn(ctx, (*In)(req.(PIn)))
			if err != nil {
				return nil, err // not a typed nil
			}
			return POut(out), nil
		},
	}
}

// funcs lists the functions by their method's name, which is unique over all services.
func (s *Services) funcs() map[string]function {
	return map[string]function{
		"PutJob":             unary(s.PutJob),
		"GetJob":             unary(s.GetJob),
		"ListJobs":           unary(s.ListJobs),
		"DeleteJob":          unary(s.DeleteJob),
		"ListJobResults":     unary(s.ListJobResults),
		"TriggerRun":         unary(s.TriggerRun),
		"TriggerRuns":        unary(s.TriggerRuns),
		"WithdrawTrigger":    unary(s.WithdrawTrigger),
		"GetRun":             unary(s.GetRun),
		"FindRun":            unary(s.FindRun),
		"ListJobRuns":        unary(s.ListJobRuns),
		"ListRuns":           unary(s.ListRuns),
		"AbortRun":           unary(s.AbortRun),
		"ExplainRun":         unary(s.ExplainRun),
		"ListResults":        unary(s.ListResults),
		"ListAgents":         unary(s.ListAgents),
		"DrainAgent":         unary(s.DrainAgent),
		"GetDrain":           unary(s.GetDrain),
		"UndrainAgent":       unary(s.UndrainAgent),
		"ListQueues":         unary(s.ListQueues),
		"GetConfig":          unary(s.GetConfig),
		"PutConfig":          unary(s.PutConfig),
		"WhoAmI":             unary(s.WhoAmI),
		"CreateToken":        unary(s.CreateToken),
		"ListTokens":         unary(s.ListTokens),
		"GetToken":           unary(s.GetToken),
		"RevokeToken":        unary(s.RevokeToken),
		"PutSecret":          unary(s.PutSecret),
		"ListSecrets":        unary(s.ListSecrets),
		"DeleteSecret":       unary(s.DeleteSecret),
		"PutRegistry":        unary(s.PutRegistry),
		"ListRegistries":     unary(s.ListRegistries),
		"DeleteRegistry":     unary(s.DeleteRegistry),
		"PutSSHKey":          unary(s.PutSSHKey),
		"GetSSHKey":          unary(s.GetSSHKey),
		"ListSSHKeys":        unary(s.ListSSHKeys),
		"DeleteSSHKey":       unary(s.DeleteSSHKey),
		"ScanHost":           unary(s.ScanHost),
		"PutForge":           unary(s.PutForge),
		"GetForge":           unary(s.GetForge),
		"ListForges":         unary(s.ListForges),
		"DeleteForge":        unary(s.DeleteForge),
		"PutEventTrigger":    unary(s.PutEventTrigger),
		"GetEventTrigger":    unary(s.GetEventTrigger),
		"ListEventTriggers":  unary(s.ListEventTriggers),
		"DeleteEventTrigger": unary(s.DeleteEventTrigger),
		"ListWebhooks":       unary(s.ListWebhooks),
		"PlanRetention":      unary(s.PlanRetention),
		"PutPin":             unary(s.PutPin),
		"DeletePin":          unary(s.DeletePin),
		"ListPins":           unary(s.ListPins),
		"GetTerms":           unary(s.GetTerms),
		"TakeRun":            unary(s.TakeRun),
		"ClaimRun":           unary(s.ClaimRun),
		"RenewRuns":          unary(s.RenewRuns),
		"Heartbeat":          unary(s.Heartbeat),
		"KeepRoom":           unary(s.KeepRoom),
		"ListHeldRuns":       unary(s.ListHeldRuns),
		"DisownRuns":         unary(s.DisownRuns),
		"StartRun":           unary(s.StartRun),
		"CollectRun":         unary(s.CollectRun),
		"AppendConsole":      unary(s.AppendConsole),
		"FinishRun":          unary(s.FinishRun),
		"UploadResult":       {new: func() proto.Message { return new(civ1.UploadResultRequest) }},
		"WatchAgent":         {new: func() proto.Message { return new(civ1.WatchAgentRequest) }},
		"WatchEvents":        {new: func() proto.Message { return new(civ1.WatchEventsRequest) }},
	}
}
