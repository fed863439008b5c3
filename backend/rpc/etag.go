package rpc

import (
	"strconv"
	"strings"
	"time"

	"ci/pkg/api/gen/ci/v1"
)

// versionTag is the strong ETag of a thing that has versions. The time of its
// creation is part of it: a job that was deleted and made anew begins at version 1 again.
func versionTag(version int64, created time.Time) string {
	tag := strconv.FormatInt(version, 10)
	if !created.IsZero() {
		tag += "-" + strconv.FormatInt(created.UnixMicro(), 36)
	}
	return `"` + tag + `"`
}

// JobTag is a job's ETag.
func JobTag(j *civ1.Job) string {
	return versionTag(int64(j.GetVersion()), j.GetCreatedAt().AsTime())
}

// SSHKeyTag is a key pair's ETag.
func SSHKeyTag(k *civ1.SSHKey) string {
	return versionTag(int64(k.GetVersion()), k.GetCreatedAt().AsTime())
}

// ForgeTag is a forge's ETag.
func ForgeTag(f *civ1.Forge) string {
	return versionTag(int64(f.GetVersion()), f.GetCreatedAt().AsTime())
}

// EventTriggerTag is an event trigger's ETag.
func EventTriggerTag(t *civ1.EventTrigger) string {
	return versionTag(int64(t.GetVersion()), t.GetCreatedAt().AsTime())
}

// ConfigTag is the configuration's ETag.
func ConfigTag(c *civ1.Config) string { return versionTag(int64(c.GetVersion()), time.Time{}) }

// tags is an If-Match header. nil stands for *.
type tags []string

// maxTags is how many tags one If-Match may hold.
const maxTags = 16

func parseTags(header string) (tags, error) {
	if strings.TrimSpace(header) == "*" {
		return nil, nil
	}
	var list tags
	for _, t := range strings.SplitN(header, ",", maxTags+1) {
		t = strings.TrimSpace(t)
		weak := strings.HasPrefix(t, "W/")
		bare := strings.TrimPrefix(t, "W/")
		if len(bare) < 2 || bare[0] != '"' || bare[len(bare)-1] != '"' || strings.Contains(bare[1:len(bare)-1], `"`) || len(list) == maxTags {
			return nil, wrong("the request", "If-Match", "%q is not an ETag as this server sends it: a string in double quotes", header)
		}
		if !weak { // RFC 9110, 13.1.1: a weak tag never matches here
			list = append(list, t)
		}
	}
	if list == nil {
		list = tags{}
	}
	return list, nil
}

// match says whether the present tag is among them. The version alone, in quotes, is as good.
func (ts tags) match(tag string, version int64) bool {
	if ts == nil {
		return true
	}
	bare := versionTag(version, time.Time{})
	for _, t := range ts {
		if t == tag || t == bare {
			return true
		}
	}
	return false
}
