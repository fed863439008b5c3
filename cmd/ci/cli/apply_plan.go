package cli

import (
	"context"
	"fmt"
	"strings"

	"ci/pkg/api"
	"ci/pkg/ci"
)

// planner compares files with the server.
type planner struct {
	*applyOptions
	api       Client
	pipelines *api.Client
	owners    map[string]string // who keeps each job, as it will be
	foreign   []string          // what others keep
}

func (o *applyOptions) planner() (*planner, error) {
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	pipelines, err := o.pipelineClient(quick)
	return &planner{applyOptions: o, api: c, pipelines: pipelines, owners: map[string]string{}}, err
}

// plan says what is to be done, in an order that works: jobs before what names
// them, and the other way round where they go away. It changes nothing, and refuses what belongs to others.
func (p *planner) plan(ctx context.Context, files *things) ([]thingChange, error) {
	jobs, gone, err := p.jobs(ctx, files.jobs)
	if err != nil {
		return nil, err
	}
	pipelines, err := p.pipelineChanges(ctx, files.pipelines)
	if err != nil {
		return nil, err
	}
	triggers, err := p.triggers(ctx, files.triggers)
	if err != nil {
		return nil, err
	}
	if len(p.foreign) > 0 {
		return nil, usagef("others keep these: %s; leave them out, or give --take-over", strings.Join(p.foreign, ", "))
	}
	return append(append(append(jobs, pipelines...), triggers...), gone...), nil
}

func (p *planner) jobs(ctx context.Context, jobs []ci.Job) (changes, gone []thingChange, err error) {
	stored := map[string]*ci.Job{}
	for j, err := range p.api.ListJobs(ctx) {
		if err != nil {
			return nil, nil, err
		}
		stored[j.Name] = &j
		p.owners[j.Name] = j.Owner
	}
	for i := range jobs {
		made := &jobs[i]
		there := stored[made.Name]
		delete(stored, made.Name)
		if there != nil && p.owner == "" {
			made.Owner = there.Owner // whoever does not say an owner leaves it
		}
		if there != nil && there.Owner != "" && there.Owner != made.Owner && !p.takeOver {
			p.foreign = append(p.foreign, fmt.Sprintf("%s (of %s)", there.Name, there.Owner))
		}
		p.owners[made.Name] = made.Owner
		ch, err := p.job(there, made)
		if err != nil {
			return nil, nil, err
		}
		changes = append(changes, ch)
	}
	for _, name := range sortedKeys(stored) {
		if p.prune && stored[name].Owner == p.owner {
			ch, err := p.job(stored[name], nil)
			if err != nil {
				return nil, nil, err
			}
			gone = append(gone, ch)
		}
	}
	return changes, gone, nil
}

// job is what becomes of a job: there as the server has it, made as the files have it; nil where they don't.
func (p *planner) job(there, made *ci.Job) (ch thingChange, err error) {
	ch = thingChange{kind: kindJob, verb: thingUpdated}
	guard := int64(-1) // must not exist
	if there != nil {
		ch.name, guard, ch.version = there.Name, there.Version, there.Version
		if ch.before, err = ownedText(there); err != nil {
			return ch, err
		}
	}
	if made == nil {
		ch.verb = thingDeleted
		ch.make = func(ctx context.Context) (int64, error) { return guard, p.api.DeleteJob(ctx, there.Name) }
		return ch, nil
	}
	ch.name = made.Name
	if ch.after, err = ownedText(made); err != nil {
		return ch, err
	}
	switch {
	case there == nil:
		ch.verb = thingCreated
	case sameJob(there, made):
		ch.verb = thingUnchanged
	}
	ch.make = func(ctx context.Context) (int64, error) {
		// The version that was compared guards against somebody else's change in between.
		stored, _, err := p.api.PutJob(ctx, made, guard)
		if err != nil {
			return 0, err
		}
		return stored.Version, nil
	}
	return ch, nil
}

// triggers compares event triggers. They belong to whoever keeps their jobs.
// Files that have none leave all as they are.
func (p *planner) triggers(ctx context.Context, triggers []ci.EventTrigger) ([]thingChange, error) {
	if len(triggers) == 0 {
		return nil, nil
	}
	stored, err := eventTriggers(ctx, p.api)
	if err != nil {
		return nil, err
	}
	there := map[string]*ci.EventTrigger{}
	for i := range stored {
		there[stored[i].Name] = &stored[i]
	}
	var changes []thingChange
	for i := range triggers {
		ch, err := p.trigger(there[triggers[i].Name], &triggers[i])
		if err != nil {
			return nil, err
		}
		delete(there, triggers[i].Name)
		changes = append(changes, ch)
	}
	for _, name := range sortedKeys(there) {
		t := there[name]
		if owner, known := p.owners[t.Job]; p.prune && known && owner == p.owner {
			text, err := eventTriggerText(t)
			if err != nil {
				return nil, err
			}
			changes = append(changes, thingChange{kind: kindEventTrigger, name: name, verb: thingDeleted, version: t.Version, before: text, make: func(ctx context.Context) (int64, error) {
				return t.Version, p.api.DeleteEventTrigger(ctx, t.Name)
			}})
		}
	}
	return changes, nil
}

func (p *planner) trigger(there, made *ci.EventTrigger) (ch thingChange, err error) {
	ch = thingChange{kind: kindEventTrigger, name: made.Name, verb: thingCreated}
	if there != nil {
		if owner := p.owners[there.Job]; owner != "" && p.owner != "" && owner != p.owner && !p.takeOver {
			p.foreign = append(p.foreign, fmt.Sprintf("event trigger %s (of %s)", there.Name, owner))
		}
		if made.RepositoryID == 0 && made.Forge == there.Forge && made.Repository == there.Repository {
			made.RepositoryID = there.RepositoryID // the server has learned it
		}
		ch.version, ch.verb = there.Version, thingUpdated
		if ch.before, err = eventTriggerText(there); err != nil {
			return ch, err
		}
	}
	if ch.after, err = eventTriggerText(made); err != nil {
		return ch, err
	}
	if ch.before == ch.after {
		ch.verb = thingUnchanged
	}
	guard := ch.version
	ch.make = func(ctx context.Context) (int64, error) {
		stored, _, err := p.api.PutEventTrigger(ctx, *made, guard)
		return stored.Version, err
	}
	return ch, nil
}

// eventTriggers are all event triggers of the server.
func eventTriggers(ctx context.Context, c Client) (all []ci.EventTrigger, err error) {
	for token := ""; ; {
		var page []ci.EventTrigger
		if page, token, err = c.ListEventTriggers(ctx, "", 0, token); err != nil {
			return nil, err
		}
		all = append(all, page...)
		if token == "" {
			return all, nil
		}
	}
}

// pipelineChanges compares pipelines. Who says nothing of where a program comes from replaces that, too.
func (p *planner) pipelineChanges(ctx context.Context, pipelines []ci.Pipeline) ([]thingChange, error) {
	var changes []thingChange
	for i := range pipelines {
		made := &pipelines[i]
		ch := thingChange{kind: kindPipeline, name: made.Name, verb: thingCreated}
		there, err := p.pipelines.GetPipeline(ctx, made.Name)
		switch {
		case err == nil:
			ch.version, ch.verb = there.Version, thingUpdated
			if ch.before, err = pipelineText(there); err != nil {
				return nil, err
			}
		case ci.CodeOf(err) != ci.CodeNotFound:
			return nil, fmt.Errorf("pipeline %s: %w", made.Name, err)
		}
		if ch.after, err = pipelineText(made); err != nil {
			return nil, err
		}
		if ch.before == ch.after {
			ch.verb = thingUnchanged
		}
		guard := ch.version
		ch.make = func(ctx context.Context) (int64, error) {
			stored, _, err := p.pipelines.PutPipeline(ctx, made, guard)
			if err != nil {
				return 0, err
			}
			return stored.Version, nil
		}
		changes = append(changes, ch)
	}
	return changes, nil
}

// ownedText is a job's document with its owner, which export leaves out.
func ownedText(j *ci.Job) (string, error) {
	text, err := jobText(j)
	if j.Owner != "" {
		text = "# owner: " + j.Owner + "\n" + text
	}
	return text, err
}
