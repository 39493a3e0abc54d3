package cronjob

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a guest sees no files, and the zones of a host differ from the next's

	"github.com/robfig/cron/v3"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
)

// schedule reads spec.schedule, in the Job's time zone; without one, UTC counts,
// whatever the host's is. It reads what the API server's validation reads, with
// the same library.
func schedule(c *batchv1.CronJob) (s cron.Schedule, err error) {
	defer func() { // "TZ=0" makes the library panic
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("%v", r)
		}
	}()
	text := c.Spec.Schedule
	if zone := c.Spec.TimeZone; zone != nil && !strings.Contains(text, "TZ") {
		text = "TZ=" + *zone + " " + text
	}
	return cron.ParseStandard(text)
}

// location is the CronJob's time zone.
func location(c *batchv1.CronJob) (*time.Location, error) {
	if c.Spec.TimeZone == nil {
		return time.UTC, nil
	}
	return time.LoadLocation(*c.Spec.TimeZone)
}

// moment is a time at which a Job is due.
type moment struct {
	since  time.Time // the last run or, before the first, the creation
	at     time.Time // the last time that is due; zero when none is
	missed int64     // about how many were due since; for regular schedules exact
}

// due finds the last time between the last run and now. With startingDeadline,
// what is older than that is not looked for.
//
// # Errors
//   - a schedule that never comes, as "0 0 31 2 *"
func due(c *batchv1.CronJob, s cron.Schedule, now time.Time, startingDeadline bool) (moment, error) {
	m := moment{since: c.CreationTimestamp.Time()}
	if last := c.Status.LastScheduleTime; last != nil {
		m.since = last.Time()
	}
	if d := c.Spec.StartingDeadlineSeconds; startingDeadline && d != nil {
		if oldest := now.Add(-time.Duration(*d) * time.Second); oldest.After(m.since) {
			m.since = oldest
		}
	}
	first := s.Next(m.since)
	second := s.Next(first)
	switch {
	case first.IsZero():
		return m, errNever
	case now.Before(first):
		return m, nil
	case second.IsZero():
		return m, errNever
	case now.Before(second):
		m.at, m.missed = first, 1
		return m, nil
	}
	gap := second.Sub(first).Round(time.Second)
	if gap < time.Second {
		return m, errNever
	}
	m.missed = int64(now.Sub(first)/gap) + 1
	m.at = latest(s, first, gap, m.missed-2, now)
	return m, nil
}

// latest is the last time until now. Of a schedule that began long ago not every
// time is looked at: if it is regular, the last is after so many gaps, or one
// more. If it is not, and nothing comes from there on, the search begins earlier,
// each time twice as much.
func latest(s cron.Schedule, first time.Time, gap time.Duration, gaps int64, now time.Time) (at time.Time) {
	t := s.Next(first.Add(time.Duration(gaps) * gap))
	for back := int64(1); gaps > 0 && (t.IsZero() || t.After(now)); back *= 2 {
		gaps = max(gaps-back, 0)
		t = s.Next(first.Add(time.Duration(gaps) * gap))
	}
	for ; !t.After(now) && t.After(at); t = s.Next(t) {
		at = t
	}
	return at
}

// errNever is the word of upstream for it.
var errNever = errors.New("time difference between two schedules is less than 1 second")

// padding is how much later than its time a run is looked for, since clocks
// differ.
const padding = 100 * time.Millisecond

// untilNext is how long it takes until the next time.
func untilNext(c *batchv1.CronJob, s cron.Schedule, now time.Time) time.Duration {
	from := now
	if m, err := due(c, s, now, false); err == nil && !m.at.IsZero() {
		from = m.at
	} else if err == nil && m.missed == 0 {
		from = m.since
	}
	next := s.Next(from)
	if next.IsZero() {
		return 0
	}
	return max(next.Add(padding).Sub(now), time.Millisecond)
}
