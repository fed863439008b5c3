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

// kindNames are the kinds of what is kept, as people read them.
var kindNames = map[ci.Kept]string{ci.KeptRun: "Whole runs", ci.KeptResults: "Results", ci.KeptConsole: "Consoles"}

// keepForm is a table of limits: a row for each kind.
type keepForm struct {
	Name string // what the names of its inputs begin with
	Age  bool   // whether it has a column of ages
	All  bool   // whether a kind can be said to have no limits
	Rows []keepRow
}

// keepRow is one kind. A limit that is none is an empty input.
type keepRow struct {
	At, Title        string
	Age, Count, Size string
	All              bool
	// For tells what counts where the row is empty.
	For string
}

func keepFormOf(name string, k *ci.Keep, age bool) keepForm {
	f := keepForm{Name: name, Age: age}
	for _, what := range ci.Kinds {
		row := keepRow{At: name + "." + what.Key(), Title: kindNames[what]}
		if l := k.Of(what); l != nil {
			row.Age, row.Count, row.Size = limitTexts(*l)
		}
		f.Rows = append(f.Rows, row)
	}
	return f
}

// jobKeepForm is a job's own, beside what the configuration says where the job says nothing.
func jobKeepForm(job *ci.Job, c *ci.Config) keepForm {
	f := keepFormOf("keep", job.Keep, true)
	f.All = true
	for i, what := range ci.Kinds {
		l := job.Keep.Of(what)
		f.Rows[i].All = l != nil && l.None()
		f.Rows[i].For = limitWords(c.Keep.Of(what))
	}
	return f
}

// limitTexts are limits as inputs hold them; what is 0 is empty.
func limitTexts(l ci.Limits) (age, count, size string) {
	if l.Age != 0 {
		age = brief(l.Age)
	}
	if l.Count != 0 {
		count = strconv.Itoa(l.Count)
	}
	if l.Bytes != 0 {
		size = exact(l.Bytes)
	}
	return age, count, size
}

// brief is a duration as people write it: 720h, not 720h0m0s. It is read back as it was.
func brief(d ci.Duration) string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// limitWords are limits in a few words.
func limitWords(l *ci.Limits) string {
	if l.None() {
		return "all"
	}
	age, count, size := limitTexts(*l)
	var words []string
	if age != "" {
		words = append(words, "for "+age)
	}
	if count != "" {
		words = append(words, "the newest "+count)
	}
	if size != "" {
		words = append(words, "up to "+size)
	}
	return strings.Join(words, ", ")
}

// keepWords are all limits in a few words, of the kinds that are spoken of.
func keepWords(k *ci.Keep) string {
	var words []string
	for _, what := range ci.Kinds {
		if l := k.Of(what); l != nil {
			words = append(words, strings.ToLower(kindNames[what])+": "+limitWords(l))
		}
	}
	return strings.Join(words, "; ")
}

// keepFrom reads such a form. A kind whose row is empty is not spoken of.
func keepFrom(form url.Values, name string) (*ci.Keep, []ci.Field) {
	var k ci.Keep
	var wrong []ci.Field
	places := map[ci.Kept]**ci.Limits{ci.KeptRun: &k.Runs, ci.KeptResults: &k.Results, ci.KeptConsole: &k.Console}
	for _, what := range ci.Kinds {
		at := name + "." + what.Key()
		l, faults := limitsFrom(form, at)
		wrong = append(wrong, faults...)
		all := form.Get(at+".all") != ""
		switch {
		case all && !l.None():
			wrong = append(wrong, ci.Field{Path: at, Message: "has limits, and is to keep all; give limits, or tick “all”, not both"})
		case all || !l.None():
			*places[what] = l
		}
	}
	if k == (ci.Keep{}) {
		return nil, wrong
	}
	return &k, wrong
}

func limitsFrom(form url.Values, at string) (*ci.Limits, []ci.Field) {
	var l ci.Limits
	var wrong []ci.Field
	read := func(name, like string, to func(text string) error) {
		text := strings.ReplaceAll(form.Get(at+"."+name), " ", "")
		if text == "" {
			return
		}
		if err := to(text); err != nil {
			wrong = append(wrong, ci.Field{Path: at + "." + name, Message: fmt.Sprintf("%.50q is not %s; leave it empty for no limit", text, like)})
		}
	}
	read("age", "a duration such as 90m or 720h", func(text string) error {
		d, err := time.ParseDuration(text)
		l.Age = ci.Duration(d)
		return err
	})
	read("count", "a number of runs", func(text string) (err error) {
		l.Count, err = strconv.Atoi(text)
		return err
	})
	read("bytes", "a size such as 512MiB or 2GiB", func(text string) (err error) {
		l.Bytes, err = units.RAMInBytes(text)
		return err
	})
	return &l, wrong
}

type jobSettingsPage struct {
	Job  *ci.Job
	Keep keepForm
	// Bound is for how long the configuration keeps anything, whatever jobs say; 0 is for ever.
	Bound ci.Duration
}

// jobSettings shows what the pages can change of a job.
func (v *visit) jobSettings() error {
	name, err := v.jobName()
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	job, err := v.api.GetJob(ctx, name)
	if err != nil {
		return err
	}
	c, err := v.api.GetConfig(ctx)
	if err != nil {
		return err
	}
	return v.show("jobsettings", frame{Title: "Settings of " + name, Tab: "jobs", Page: jobSettingsPage{job, jobKeepForm(job, c), c.Retention}})
}

// saveKeep replaces what a job keeps, if the job is still the one that the form was made of.
func (v *visit) saveKeep() (string, error) {
	name, err := v.jobName()
	if err != nil {
		return "", err
	}
	// What the form does not have stays as it is.
	job, err := v.api.GetJob(v.r.Context(), name)
	if err != nil {
		return "", err
	}
	var wrong []ci.Field
	if job.Keep, wrong = keepFrom(v.r.PostForm, "keep"); len(wrong) > 0 {
		return "", &ci.Error{Code: ci.CodeInvalid, Message: "what the job keeps is not valid", Fields: wrong}
	}
	version, _ := parseInt(v.r.PostFormValue("version")) // what is no number is stale
	_, _, err = v.api.PutJob(v.r.Context(), job, max(version, 1))
	return jobURL(name) + "/settings?done=kept", err
}
