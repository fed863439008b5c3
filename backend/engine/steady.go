package engine

import "time"

// steady tells whether the database's clock goes as it should. Leases are
// times of that clock. When somebody sets it, or the machine has slept, leases
// seem to be over, or endless, that are not: agents count theirs on a
// monotonic clock. So nobody is called lost until all had time to renew.
type steady struct {
	database time.Time // at the last look, without a monotonic part
	own      time.Time // at the same moment
	until    time.Time // of our own clock: leases are not to be believed before
}

// look compares both clocks since the last look, and says whether leases can be
// believed. jumped is how far the database's went astray; 0 when it did not.
func (s *steady) look(database, own time.Time, lease time.Duration) (believed bool, jumped time.Duration) {
	if !s.own.IsZero() {
		drift := database.Round(0).Sub(s.database) - own.Sub(s.own)
		if drift.Abs() > lease/8 {
			s.until, jumped = own.Add(lease), drift
		}
	}
	s.database, s.own = database.Round(0), own
	return !own.Before(s.until), jumped
}
