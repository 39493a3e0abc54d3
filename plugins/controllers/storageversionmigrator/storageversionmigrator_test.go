package storageversionmigrator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	migrationv1 "github.com/pintle-io/pintle/sdk/api/storagemigration/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newMigration(name string, minute int, conditions ...migrationv1.MigrationConditionType) *migration {
	m := &migration{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(time.Duration(minute) * time.Minute))},
		Spec: migrationv1.StorageVersionMigrationSpec{Resource: metav1.GroupResource{Resource: "configmaps"}}}
	for _, t := range conditions {
		m.Status.Conditions = set(m.Status.Conditions, condition(t, metav1.ConditionTrue, "x", "x"), now)
	}
	return m
}

func TestDecide(t *testing.T) {
	const running, succeeded, failed = migrationv1.MigrationRunning, migrationv1.MigrationSucceeded, migrationv1.MigrationFailed
	names := func(list ...*migration) string {
		var out []string
		for _, m := range list {
			if m != nil {
				out = append(out, m.Name)
			}
		}
		return strings.Join(out, ",")
	}
	for name, tt := range map[string]struct {
		all  []*migration
		want string // over; next; running
	}{
		"none":               {nil, ";;"},
		"the oldest is next": {[]*migration{newMigration("b", 2), newMigration("a", 1), newMigration("c", 1)}, ";a;"},
		"one runs":           {[]*migration{newMigration("a", 1), newMigration("b", 2, running)}, ";;b"},
		"one has ended":      {[]*migration{newMigration("a", 1, running, succeeded), newMigration("b", 2, running, failed), newMigration("c", 3)}, "a,b;c;"},
		"all are over":       {[]*migration{newMigration("a", 1, succeeded), newMigration("b", 2, failed)}, ";;"},
	} {
		p := decide(tt.all)
		if got := names(p.over...) + ";" + names(p.next) + ";" + names(p.running); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestProgress(t *testing.T) {
	for want, got := range map[string]string{
		"The migration is running":                                                    progress(0, 0, nil),
		"The migration is running, 3/7 objects not yet migrated":                      progress(3, 7, nil),
		"The migration is running, 7 objects verified migrated":                       progress(0, 7, nil),
		"The migration is running, 3/7 objects not yet migrated; transient error: no": progress(3, 7, errors.New("no")),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLeft(t *testing.T) {
	at := func(namespace, name, rev string) *object {
		o := &object{}
		o.Metadata.Namespace, o.Metadata.Name, o.Metadata.ResourceVersion = namespace, name, rev
		return o
	}
	all := []*object{at("a", "x", "5"), at("a", "y", "11"), at("a", "z", "10"), at("b-c", "z", "7"), at("b", "a", "9")}
	for name, tt := range map[string]struct {
		reached place
		since   string
		want    string
	}{
		"all":    {place{}, "100", "a/x a/y a/z b-c/z b/a"},
		"older":  {place{}, "10", "a/x a/z b-c/z b/a"},
		"behind": {place{"a", "y"}, "100", "a/z b-c/z b/a"},
		"like":   {place{"b-c", "z"}, "100", "b/a"},
		"number": {place{}, "x", "error"},
	} {
		todo, err := left(all, tt.reached, tt.since)
		var got []string
		for _, o := range todo {
			got = append(got, o.Metadata.Namespace+"/"+o.Metadata.Name)
		}
		if err != nil {
			got = []string{"error"}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s, want %s", name, s, tt.want)
		}
	}
}

func TestStored(t *testing.T) {
	d := &definition{ObjectMeta: metav1.ObjectMeta{Generation: 4}}
	d.Spec.Versions = append(d.Spec.Versions, struct {
		Name    string `json:"name"`
		Storage bool   `json:"storage"`
	}{"v1", true})
	d.Status.StoredVersions = []string{"v1beta1", "v1"}
	for _, tt := range []struct {
		observed  int64
		succeeded bool
		stored    int
		reason    string
		message   string
	}{
		{4, true, 1, "MigrationSucceeded", "and the stored versions have been updated"},
		{3, true, 2, "MigrationSucceeded", "due to a generation mismatch"},
		{4, false, 2, "MigrationFailed", "has failed"},
	} {
		d.Status.Conditions = []metav1.Condition{{Type: storageMigrating, Status: metav1.ConditionTrue, ObservedGeneration: tt.observed}}
		stored, c := d.stored(tt.succeeded)
		if len(stored) != tt.stored || c.Reason != tt.reason || !strings.Contains(c.Message, tt.message) || c.Status != metav1.ConditionFalse {
			t.Errorf("%+v: %v, %+v", tt, stored, c)
		}
	}
}

// TestEndsOnce: what was said at the end of a migration is not said again of a definition
// that has changed since.
func TestEndsOnce(t *testing.T) {
	d := &definition{}
	if d.ended() {
		t.Error("it ended before it began")
	}
	d.Status.Conditions = []metav1.Condition{{Type: storageMigrating, Status: metav1.ConditionTrue}}
	if d.ended() {
		t.Error("it ended while it runs")
	}
	d.Status.Conditions[0].Status = metav1.ConditionFalse
	if !d.ended() {
		t.Error("it has not ended")
	}
}

// fixture is a store whose objects are named by their group and plural, as the
// controller asks for them.
type fixture struct {
	*sdktest.Store
	x *migrator
}

const configMaps = "//configmaps"

// item is an object of the resource that is migrated.
type item struct {
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Data              map[string]string `json:"data,omitempty"`
}

func (*item) APIResource() string { return configMaps }

func newFixture(t *testing.T, n int) *fixture {
	t.Helper()
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{s, &migrator{reached: map[string]place{}}}
	for i := range n {
		f.make(t, fmt.Sprintf("c%05d", i))
	}
	return f
}

func (f *fixture) make(t *testing.T, name string) {
	t.Helper()
	if err := f.Client().Create(&item{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}}); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) look(t *testing.T, at time.Time) controller.Result {
	t.Helper()
	res, err := f.x.reconcile(f.Client(), controller.Request{Name: "configmaps."}, at)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func (f *fixture) get(t *testing.T, name string) *migration {
	t.Helper()
	m := &migration{}
	if err := f.Client().Get(m, "", name); err != nil {
		t.Fatal(err)
	}
	return m
}

func messageOf(m *migration, t migrationv1.MigrationConditionType) string {
	for _, c := range m.Status.Conditions {
		if c.Type == string(t) {
			return string(c.Status) + " " + c.Message
		}
	}
	return ""
}

// TestMigrates: all that was written before is written again, in steps, whatever happens
// to it, and to the controller, meanwhile: and then the next migration of the resource
// runs. What was written since is left alone.
func TestMigrates(t *testing.T) {
	const n = 3*chunk - 100
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := newFixture(t, n)
		for i, name := range []string{"first", "second"} {
			if err := f.Client().Create(newMigration(name, i)); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			if messageOf(f.get(t, "second"), migrationv1.MigrationRunning) != "" {
				break
			}
			f.look(t, now)
			switch victim := fmt.Sprintf("c%05d", r.IntN(n)); r.IntN(4) {
			case 0: // the controller is killed
				f.x = &migrator{reached: map[string]place{}}
			case 1:
				o := &item{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: victim}}
				if err := f.Client().Delete(o, client.DeleteOptions{}); err != nil && !client.IsNotFound(err) {
					t.Fatal(err)
				}
			case 2:
				o := &item{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: victim}, Data: map[string]string{"changed": "x"}}
				if err := f.Client().Update(o); err != nil && !client.IsNotFound(err) {
					t.Fatal(err)
				}
			}
		}
		first := f.get(t, "first")
		if got := messageOf(first, migrationv1.MigrationSucceeded); got != "True Migration completed" || messageOf(first, migrationv1.MigrationRunning) != "False Migration completed" {
			t.Fatalf("seed %d: %+v", seed, first.Status)
		}
		var all []*object
		if err := f.Client().List(&all, client.ListOptions{Resource: configMaps}); err != nil {
			t.Fatal(err)
		}
		if todo, err := left(all, place{}, first.Status.ResourceVersion); err != nil || len(todo) > 0 {
			t.Fatalf("seed %d: %d objects are as they were, %v", seed, len(todo), err)
		}
	}
}

// TestFails: a resource that there is not is waited for, for a minute; one that cannot be
// migrated fails at once, and what else goes wrong is tried again.
func TestFails(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		at   time.Duration
		want string // the message of the failure
		fine bool
	}{
		"missing":          {wire.ErrNotFound, time.Second, "", true},
		"missing for long": {wire.ErrNotFound, time.Minute, "migration encountered unhandled error: resource does not exist in discovery", true},
		"not stored":       {wire.ErrUnsupported, 0, `migration encountered unhandled error: resource "configmaps." does not support discovery operations: [update patch list]`, true},
		"away":             {wire.ErrUnavailable, time.Hour, "", false},
	} {
		f := newFixture(t, 0)
		if err := f.Client().Create(newMigration("m", 0)); err != nil {
			t.Fatal(err)
		}
		_, err := f.x.reconcile(missing{f.Client(), tt.err}, controller.Request{Name: "configmaps."}, now.Add(tt.at))
		if got := strings.TrimPrefix(messageOf(f.get(t, "m"), migrationv1.MigrationFailed), "True "); got != tt.want || (err == nil) != tt.fine {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
		}
	}
}

// missing is a client that cannot list what is migrated.
type missing struct {
	client.Client
	err error
}

func (m missing) List(list any, o client.ListOptions) error {
	if o.Resource != "" {
		return m.err
	}
	return m.Client.List(list, o)
}

// TestRefused: a write that the API refuses ends a migration, and one for which there
// is no time does not.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		failed string
		again  time.Duration
	}{
		"refused":  {wire.ErrInvalid, "1/2 not yet migrated. migration encountered unhandled error: ", 0},
		"too many": {wire.ErrTooMany, "", soon},
	} {
		f := newFixture(t, 2)
		if err := f.Client().Create(newMigration("m", 0)); err != nil {
			t.Fatal(err)
		}
		res, err := f.x.reconcile(refusing{f.Client(), "c00001", tt.err}, controller.Request{Name: "configmaps."}, now)
		m := f.get(t, "m")
		if got := strings.TrimPrefix(messageOf(m, migrationv1.MigrationFailed), "True "); err != nil || !strings.HasPrefix(got, tt.failed) || (got == "") != (tt.failed == "") || res.RequeueAfter != tt.again {
			t.Errorf("%s: %v, %v, %+v", name, res, err, m.Status)
		}
		if got := messageOf(m, migrationv1.MigrationRunning); !strings.HasPrefix(got, "True The migration is running, 1/2 objects not yet migrated") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// refusing is a client whose patches of one object fail.
type refusing struct {
	client.Client
	name string
	err  error
}

func (r refusing) Batch(ops []client.Op, atomic bool) ([]error, error) {
	errs, err := r.Client.Batch(ops, atomic)
	for i := range ops {
		if ops[i].Object.(*object).Metadata.Name == r.name {
			errs[i] = r.err
		}
	}
	return errs, err
}
