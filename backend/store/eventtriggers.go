package store

import (
	"context"

	"ci/pkg/ci"
)

const eventTriggerFields = "name, forge, repository, repository_id, job, events, branches, tags, paths, parameters, priority, forks, supersede, version, created_at, updated_at"

func eventTriggerPlaces(t *ci.EventTrigger) []any {
	return []any{
		&t.Name, &t.Forge, &t.Repository, &t.RepositoryID, &t.Job,
		document{&t.Events},
		document{&t.Branches},
		document{&t.Tags},
		document{&t.Paths},
		document{&t.Parameters},
		(*string)(&t.Priority),
		(*string)(&t.Forks),
		&t.Supersede, &t.Version,
		stamp{&t.CreatedAt},
		stamp{&t.UpdatedAt},
	}
}

// PutEventTrigger creates or replaces a trigger, and fills in Version,
// CreatedAt and UpdatedAt. ifVersion is as in PutJob. Its forge and its job
// must be there: ci.CodeConflict.
func (tx *Tx) PutEventTrigger(ctx context.Context, t *ci.EventTrigger, ifVersion int64) (created bool, err error) {
	if err := tx.checkEventTrigger(ctx, t); err != nil {
		return false, err
	}
	now := tx.now()
	if ifVersion <= 0 {
		made := *t
		made.Version, made.CreatedAt, made.UpdatedAt = 1, now, now
		n, err := tx.s.exec(ctx, insertText("event_triggers", eventTriggerFields, 16)+" ON CONFLICT (name) DO NOTHING", values(eventTriggerPlaces(&made))...)
		if err != nil {
			return false, err
		}
		if n == 1 {
			*t = made
			return true, nil
		}
		if ifVersion < 0 {
			return false, ci.Errorf(ci.CodeStale, "there is a trigger %q already", t.Name)
		}
	}
	return false, tx.replaceEventTrigger(ctx, t, ifVersion)
}

func (tx *Tx) replaceEventTrigger(ctx context.Context, t *ci.EventTrigger, ifVersion int64) error {
	places := values(eventTriggerPlaces(t))
	text := "UPDATE event_triggers SET forge = ?, repository = ?, repository_id = ?, job = ?, events = ?, branches = ?, tags = ?, paths = ?, parameters = ?, " +
		"priority = ?, forks = ?, supersede = ?, updated_at = ?, version = version + 1 WHERE name = ?"
	args := append(places[1:13:13], micros(tx.now()), t.Name)
	if ifVersion > 0 {
		text += " AND version = ?"
		args = append(args, ifVersion)
	}
	stored, err := one(ctx, tx.s, eventTriggerPlaces, text+" RETURNING "+eventTriggerFields, args...)
	if err != nil {
		return err
	}
	if stored == nil {
		return ci.Errorf(ci.CodeStale, "trigger %q is not at version %d any more: somebody changed or deleted it; read it again", t.Name, ifVersion)
	}
	*t = *stored
	return nil
}

// checkEventTrigger refuses a trigger that names what is not there.
func (tx *Tx) checkEventTrigger(ctx context.Context, t *ci.EventTrigger) error {
	if _, err := tx.GetForge(ctx, t.Forge); err != nil {
		if ci.CodeOf(err) == ci.CodeNotFound {
			return ci.Errorf(ci.CodeConflict, "trigger %s names forge %q, and there is none of that name; make it with PUT /forges/%s", t.Name, t.Forge, t.Forge)
		}
		return err
	}
	if _, err := tx.GetJob(ctx, t.Job); err != nil {
		if ci.CodeOf(err) == ci.CodeNotFound {
			return ci.Errorf(ci.CodeConflict, "trigger %s names job %q, and there is none of that name", t.Name, t.Job)
		}
		return err
	}
	return nil
}

// GetEventTrigger returns the trigger, or ci.CodeNotFound.
func (r reader) GetEventTrigger(ctx context.Context, name string) (*ci.EventTrigger, error) {
	t, err := one(ctx, r.s, eventTriggerPlaces, "SELECT "+eventTriggerFields+" FROM event_triggers WHERE name = ?", name)
	if err == nil && t == nil {
		return nil, noEventTrigger(name)
	}
	return t, err
}

func noEventTrigger(name string) error {
	return ci.Errorf(ci.CodeNotFound, "there is no trigger %q", name)
}

// ListEventTriggers returns up to limit triggers in the order of their names,
// beginning behind after.
func (r reader) ListEventTriggers(ctx context.Context, after string, limit int) ([]ci.EventTrigger, error) {
	return many(ctx, r.s, eventTriggerPlaces, "SELECT "+eventTriggerFields+" FROM event_triggers WHERE name > ? ORDER BY name LIMIT ?", after, limit)
}

// ForgeTriggers returns the triggers of a forge that may be meant by an event of a
// repository: those that have its number, and those that have none yet and
// have its name, whatever its case. By name.
func (r reader) ForgeTriggers(ctx context.Context, forge string, repository int64, fullName string) ([]ci.EventTrigger, error) {
	return many(ctx, r.s, eventTriggerPlaces, "SELECT "+eventTriggerFields+" FROM event_triggers WHERE forge = ? AND "+
		"(repository_id = ? OR repository_id = 0 AND LOWER(repository) = LOWER(?)) ORDER BY name", forge, repository, fullName)
}

// JobTriggers returns the triggers that start a job's runs, by name.
func (r reader) JobTriggers(ctx context.Context, job string) ([]ci.EventTrigger, error) {
	return many(ctx, r.s, eventTriggerPlaces, "SELECT "+eventTriggerFields+" FROM event_triggers WHERE job = ? ORDER BY name", job)
}

// PinEventTrigger notes the number of a trigger's repository, if none is noted yet.
func (tx *Tx) PinEventTrigger(ctx context.Context, name string, repository int64) error {
	_, err := tx.s.exec(ctx, "UPDATE event_triggers SET repository_id = ? WHERE name = ? AND repository_id = 0", repository, name)
	return err
}

// DeleteEventTrigger removes the trigger, or says ci.CodeNotFound.
func (tx *Tx) DeleteEventTrigger(ctx context.Context, name string) error {
	n, err := tx.s.exec(ctx, "DELETE FROM event_triggers WHERE name = ?", name)
	if err == nil && n == 0 {
		return noEventTrigger(name)
	}
	return err
}
