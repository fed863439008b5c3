package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToForge converts what is shown of a forge.
func ToForge(f *ci.Forge) *civ1.Forge {
	return &civ1.Forge{
		Name:      f.Name,
		Kind:      string(f.Kind),
		Url:       f.URL,
		ApiUrl:    f.API,
		AppId:     float64(f.AppID),
		Slug:      f.Slug,
		Version:   uint32(f.Version),
		CreatedAt: ToTime(f.CreatedAt),
		UpdatedAt: ToTime(f.UpdatedAt),
	}
}

// FromForge is ToForge's inverse.
func FromForge(m *civ1.Forge) ci.Forge {
	return ci.Forge{
		Name:      m.GetName(),
		Kind:      ci.ForgeKind(m.GetKind()),
		URL:       m.GetUrl(),
		API:       m.GetApiUrl(),
		AppID:     int64(m.GetAppId()),
		Slug:      m.GetSlug(),
		Version:   int64(m.GetVersion()),
		CreatedAt: FromTime(m.GetCreatedAt()),
		UpdatedAt: FromTime(m.GetUpdatedAt()),
	}
}

// ToForges converts a list.
func ToForges(list []ci.Forge) []*civ1.Forge { return each(list, ToForge) }

// ToForgeAccess converts a forge with what opens it, as it is sent to a server.
func ToForgeAccess(a *ci.ForgeAccess) *civ1.Forge {
	m := ToForge(&a.Forge)
	m.PrivateKey, m.WebhookSecret, m.Token = unlessEmpty(a.PrivateKey), unlessEmpty(a.WebhookSecret), unlessEmpty(a.Token)
	return m
}

// unlessEmpty is a field that is not there when it is empty.
func unlessEmpty(v string) *string {
	if v == "" {
		return nil
	}
	return &v
}

// FromForgeAccess is ToForgeAccess' inverse.
func FromForgeAccess(m *civ1.Forge) ci.ForgeAccess {
	return ci.ForgeAccess{
		Forge:     FromForge(m),
		ForgeKeys: ci.ForgeKeys{PrivateKey: m.GetPrivateKey(), WebhookSecret: m.GetWebhookSecret(), Token: m.GetToken()},
	}
}

// ToEventTrigger converts an event trigger.
func ToEventTrigger(t *ci.EventTrigger) *civ1.EventTrigger {
	return &civ1.EventTrigger{
		Name:         t.Name,
		Forge:        t.Forge,
		Repository:   t.Repository,
		RepositoryId: float64(t.RepositoryID),
		Events:       words[string](t.Events),
		Branches:     t.Branches,
		Tags:         t.Tags,
		Paths:        t.Paths,
		Job:          t.Job,
		Parameters:   t.Parameters,
		Priority:     string(t.Priority),
		Forks:        string(t.Forks),
		Supersede:    t.Supersede,
		Version:      uint32(t.Version),
		CreatedAt:    ToTime(t.CreatedAt),
		UpdatedAt:    ToTime(t.UpdatedAt),
	}
}

// FromEventTrigger is ToEventTrigger's inverse.
func FromEventTrigger(m *civ1.EventTrigger) ci.EventTrigger {
	return ci.EventTrigger{
		Name:         m.GetName(),
		Forge:        m.GetForge(),
		Repository:   m.GetRepository(),
		RepositoryID: int64(m.GetRepositoryId()),
		Events:       words[ci.EventKind](m.GetEvents()),
		Branches:     m.GetBranches(),
		Tags:         m.GetTags(),
		Paths:        m.GetPaths(),
		Job:          m.GetJob(),
		Parameters:   m.GetParameters(),
		Priority:     ci.Priority(m.GetPriority()),
		Forks:        ci.ForkPolicy(m.GetForks()),
		Supersede:    m.GetSupersede(),
		Version:      int64(m.GetVersion()),
		CreatedAt:    FromTime(m.GetCreatedAt()),
		UpdatedAt:    FromTime(m.GetUpdatedAt()),
	}
}

// ToEventTriggers converts a list.
func ToEventTriggers(list []ci.EventTrigger) []*civ1.EventTrigger { return each(list, ToEventTrigger) }

// words changes the type of a list's words.
func words[T, F ~string](list []F) []T {
	if list == nil {
		return nil
	}
	out := make([]T, len(list))
	for i, s := range list {
		out[i] = T(s)
	}
	return out
}

func toOrigin(o *ci.Origin) *civ1.Origin {
	if o == nil {
		return nil
	}
	return &civ1.Origin{
		Forge:        o.Forge,
		Trigger:      o.Trigger,
		Event:        string(o.Event),
		Webhook:      o.Webhook,
		Seq:          float64(o.Seq),
		Installation: float64(o.Installation),
		Repository:   float64(o.Repository),
		FullName:     o.FullName,
		HeadSha:      o.HeadSHA,
		Ref:          o.Ref,
		Branch:       o.Branch,
		Base:         o.Base,
		Tag:          o.Tag,
		Pull:         uint32(o.Pull),
		Fork:         o.Fork,
		ConfigBranch: o.ConfigBranch,
		Sender:       toPerson(&o.Sender),
		Approver:     toPerson(o.Approver),
	}
}

func fromOrigin(m *civ1.Origin) *ci.Origin {
	if m == nil {
		return nil
	}
	o := &ci.Origin{
		Forge:        m.GetForge(),
		Trigger:      m.GetTrigger(),
		Event:        ci.EventKind(m.GetEvent()),
		Webhook:      m.GetWebhook(),
		Seq:          int64(m.GetSeq()),
		Installation: int64(m.GetInstallation()),
		Repository:   int64(m.GetRepository()),
		FullName:     m.GetFullName(),
		HeadSHA:      m.GetHeadSha(),
		Ref:          m.GetRef(),
		Branch:       m.GetBranch(),
		Base:         m.GetBase(),
		Tag:          m.GetTag(),
		Pull:         int(m.GetPull()),
		Fork:         m.GetFork(),
		ConfigBranch: m.GetConfigBranch(),
		Approver:     fromPerson(m.GetApprover()),
	}
	if sender := fromPerson(m.GetSender()); sender != nil {
		o.Sender = *sender
	}
	return o
}

func toPerson(p *ci.Person) *civ1.Person {
	if p == nil {
		return nil
	}
	return &civ1.Person{Id: float64(p.ID), Login: p.Login}
}

func fromPerson(m *civ1.Person) *ci.Person {
	if m == nil {
		return nil
	}
	return &ci.Person{ID: int64(m.GetId()), Login: m.GetLogin()}
}

// ToWebhook converts what is shown of a delivery: neither Body nor Digest.
func ToWebhook(w *ci.Webhook) *civ1.Webhook {
	return &civ1.Webhook{
		Seq:        float64(w.Seq),
		Forge:      w.Forge,
		Id:         w.ID,
		Event:      w.Event,
		Action:     w.Action,
		Repository: w.Repository,
		ReceivedAt: ToTime(w.ReceivedAt),
		SettledAt:  ToTime(w.SettledAt),
		Tries:      uint32(w.Tries),
		NextAt:     ToTime(w.NextAt),
		Note:       text(w.Note),
		Runs:       each(w.Runs, func(r *ci.RunRef) *civ1.OriginRun { return &civ1.OriginRun{Job: r.Job, Run: uint32(r.Run)} }),
	}
}

// FromWebhook is ToWebhook's inverse.
func FromWebhook(m *civ1.Webhook) ci.Webhook {
	return ci.Webhook{
		Seq:        int64(m.GetSeq()),
		Forge:      m.GetForge(),
		ID:         m.GetId(),
		Event:      m.GetEvent(),
		Action:     m.GetAction(),
		Repository: m.GetRepository(),
		ReceivedAt: FromTime(m.GetReceivedAt()),
		SettledAt:  FromTime(m.GetSettledAt()),
		Tries:      int(m.GetTries()),
		NextAt:     FromTime(m.GetNextAt()),
		Note:       m.GetNote(),
		Runs:       eachFrom(m.GetRuns(), func(r *civ1.OriginRun) ci.RunRef { return ci.RunRef{Job: r.GetJob(), Run: int64(r.GetRun())} }),
	}
}

// ToWebhooks converts a list.
func ToWebhooks(list []ci.Webhook) []*civ1.Webhook { return each(list, ToWebhook) }
