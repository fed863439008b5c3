package convert

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToJob fails when Freestyle is not a JSON object.
func ToJob(j *ci.Job) (*civ1.Job, error) {
	out := &civ1.Job{
		Name:       j.Name,
		Git:        ToGit(j.Git),
		Parameters: each(j.Parameters, toParameter),
		Triggers:   j.Triggers,
		Owner:      j.Owner,
		Keep:       ToKeep(j.Keep),
		Version:    uint32(j.Version),
		CreatedAt:  ToTime(j.CreatedAt),
		UpdatedAt:  ToTime(j.UpdatedAt),
	}
	if len(j.Freestyle) > 0 {
		out.Freestyle = new(structpb.Struct)
		if err := out.Freestyle.UnmarshalJSON(j.Freestyle); err != nil {
			return nil, fmt.Errorf("the freestyle document of job %s: %w", j.Name, err)
		}
	}
	return out, nil
}

// FromJob writes Freestyle as compact JSON with sorted keys.
func FromJob(m *civ1.Job) (*ci.Job, error) {
	j := &ci.Job{
		Name:       m.GetName(),
		Git:        FromGit(m.GetGit()),
		Parameters: eachFrom(m.GetParameters(), fromParameter),
		Triggers:   m.GetTriggers(),
		Owner:      m.GetOwner(),
		Keep:       FromKeep(m.GetKeep()),
		Version:    int64(m.GetVersion()),
		CreatedAt:  FromTime(m.GetCreatedAt()),
		UpdatedAt:  FromTime(m.GetUpdatedAt()),
	}
	if m.GetFreestyle() != nil {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(m.GetFreestyle().AsMap()); err != nil {
			return nil, fmt.Errorf("the freestyle document of job %s: %w", j.Name, err)
		}
		j.Freestyle = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	return j, nil
}

// ToGit returns nil for nil.
func ToGit(g *ci.Git) *civ1.Git {
	if g == nil {
		return nil
	}
	return &civ1.Git{Url: g.URL, ConfigPath: g.ConfigPath, SshKey: g.SSHKey}
}

// FromGit returns nil for nil.
func FromGit(m *civ1.Git) *ci.Git {
	if m == nil {
		return nil
	}
	return &ci.Git{URL: m.GetUrl(), ConfigPath: m.GetConfigPath(), SSHKey: m.GetSshKey()}
}

func toParameter(p *ci.Parameter) *civ1.Parameter {
	return &civ1.Parameter{Name: p.Name, Default: p.Default, Required: p.Required, Description: p.Description}
}

func fromParameter(m *civ1.Parameter) ci.Parameter {
	return ci.Parameter{Name: m.GetName(), Default: m.GetDefault(), Required: m.GetRequired(), Description: m.GetDescription()}
}
