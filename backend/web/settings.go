package web

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"ci/pkg/ci"
)

type settingsPage struct {
	*ci.Config
	Each, Total keepForm // what each job keeps, and all together
}

func (v *visit) settings() error {
	c, err := v.api.GetConfig(v.r.Context())
	if err != nil {
		return err
	}
	return v.show("settings", frame{Title: "Settings", Tab: "settings", Page: settingsPage{c, keepFormOf("keep", c.Keep, true), keepFormOf("keepTotal", c.KeepTotal, false)}})
}

// saveSettings replaces the configuration, if it is still the one that the form was made of.
func (v *visit) saveSettings() (string, error) {
	// What the form does not have stays as it is.
	c, err := v.api.GetConfig(v.r.Context())
	if err != nil {
		return "", err
	}
	if err := fromForm(c, v.r.PostForm); err != nil {
		return "", err
	}
	version, _ := parseInt(v.r.PostFormValue("version")) // what is no number is stale
	_, err = v.api.PutConfig(v.r.Context(), c, max(version, 1))
	return root + "/settings?done=saved", err
}

func fromForm(c *ci.Config, form url.Values) error {
	var wrong []ci.Field
	fault := func(path, format string, args ...any) {
		wrong = append(wrong, ci.Field{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	duration := func(name string, to *ci.Duration) {
		d, err := time.ParseDuration(strings.ReplaceAll(form.Get(name), " ", ""))
		if err != nil {
			fault(name, "%.50q is not a duration such as 90s, 1h or 720h", form.Get(name))
		}
		*to = ci.Duration(d)
	}
	size := func(path, text string) int64 {
		n, err := units.RAMInBytes(strings.TrimSpace(text))
		if err != nil {
			fault(path, "%.50q is not a size such as 512MiB or 2GiB", text)
		}
		return n
	}
	duration("globalTimeout", &c.GlobalTimeout)
	duration("abortGrace", &c.AbortGrace)
	duration("retention", &c.Retention)
	duration("agentRetention", &c.AgentRetention)
	for name, to := range map[string]**ci.Keep{"keep": &c.Keep, "keepTotal": &c.KeepTotal} {
		var faults []ci.Field
		*to, faults = keepFrom(form, name)
		wrong = append(wrong, faults...)
	}
	c.MaxConsole, c.MaxResult = size("maxConsole", form.Get("maxConsole")), size("maxResult", form.Get("maxResult"))
	files, err := strconv.Atoi(form.Get("maxResultFiles"))
	if err != nil {
		fault("maxResultFiles", "%.50q is not a number", form.Get("maxResultFiles"))
	}
	c.MaxResultFiles, c.Classes = files, nil
	for i, name := range form["class"] {
		at := fmt.Sprintf("classes[%d]", i)
		if strings.TrimSpace(name) == "" || i >= len(form["cpus"]) || i >= len(form["memory"]) {
			continue // the empty row
		}
		cpus, err := strconv.ParseFloat(form["cpus"][i], 64)
		if err != nil {
			fault(at+".cpus", "%.50q is not a number of cores", form["cpus"][i])
		}
		c.Classes = append(c.Classes, ci.Quota{Name: strings.TrimSpace(name), CPUs: cpus, Memory: size(at+".memory", form["memory"][i])})
	}
	if len(wrong) > 0 {
		return &ci.Error{Code: ci.CodeInvalid, Message: "the settings are not valid", Fields: wrong}
	}
	return nil
}

// exact prints a size so that it is read back as it was.
func exact(n int64) string {
	for i, unit := range []string{"PiB", "TiB", "GiB", "MiB", "KiB"} {
		if one := int64(1) << (10 * (5 - i)); n >= one && n%one == 0 {
			return strconv.FormatInt(n/one, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}
