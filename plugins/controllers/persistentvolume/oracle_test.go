package persistentvolume

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var errCrash = errors.New("killed")

// mortal is the client of a binder that is killed after so many writes. Before
// each write somebody else may be faster.
type mortal struct {
	client.Client
	w     *world
	lives int
}

func (m *mortal) Patch(o client.Object, p client.Patch) error {
	if m.lives == 0 {
		return errCrash
	}
	m.lives--
	if m.w.r.IntN(4) == 0 {
		m.w.happen()
	}
	if v, ok := o.(*volume); ok && m.w.r.IntN(4) == 0 {
		m.w.reserve(v.Name, fmt.Sprint("c", m.w.r.IntN(4)))
	}
	err := m.Client.Patch(o, p)
	m.w.check()
	return err
}

func (m *mortal) Delete(client.Object, client.DeleteOptions) error {
	m.w.t.Fatalf("%s: the binder deleted something", m.w.name)
	return nil
}

// world is a cluster in which users, a scheduler and a provisioner do as they
// please, and what an onlooker remembers of it.
type world struct {
	t    *testing.T
	r    *rand.Rand
	api  client.Client
	name string
	made int
	// holds is the volume of each claim that was ever bound, by uid; keeps that of
	// each volume whose claim went, by uid: it must not become another's.
	// refs is the claim that each volume was last seen to be of.
	holds, keeps, refs map[string]string
	queue              map[controller.Request]bool
}

func (w *world) must(err error) {
	if err != nil && !client.IsNotFound(err) && !client.IsConflict(err) && !client.IsAlreadyExists(err) {
		w.t.Helper()
		w.t.Fatalf("%s: %v", w.name, err)
	}
}

func (w *world) claims() (out []*claim) {
	w.must(w.api.List(&out, client.ListOptions{}))
	return out
}

func (w *world) volumes() (out []*volume) {
	w.must(w.api.List(&out, client.ListOptions{}))
	return out
}

// check holds what is stored against what may be.
func (w *world) check() {
	byUID, claimed := map[string]*claim{}, map[string]string{}
	for _, c := range w.claims() {
		byUID[c.UID] = c
		if !c.complete() {
			continue
		}
		if other := claimed[c.Spec.VolumeName]; other != "" {
			w.t.Fatalf("%s: volume %s belongs to claims %s and %s", w.name, c.Spec.VolumeName, other, c.Name)
		}
		claimed[c.Spec.VolumeName] = c.Name
		if was := w.holds[c.UID]; was != "" && was != c.Spec.VolumeName {
			w.t.Fatalf("%s: claim %s had volume %s and has %s", w.name, c.Name, was, c.Spec.VolumeName)
		}
		w.holds[c.UID] = c.Spec.VolumeName
	}
	for _, v := range w.volumes() {
		r := v.Spec.ClaimRef
		if was := w.keeps[v.UID]; was != "" && (r == nil || r.UID != was) {
			w.t.Fatalf("%s: volume %s has the data of claim %s and is free for others: %+v", w.name, v.Name, was, r)
		}
		if r == nil || r.UID == "" {
			delete(w.refs, v.UID)
			continue
		}
		if was := w.refs[v.UID]; was != "" && was != r.UID {
			w.t.Fatalf("%s: volume %s was taken from claim %s by %s", w.name, v.Name, was, r.UID)
		}
		w.refs[v.UID] = r.UID
		c := byUID[r.UID]
		if c == nil && v.Status.Phase == released {
			w.keeps[v.UID] = r.UID
		}
		// What its owners reserved for each other is bound as it is.
		if _, ours := v.Annotations[annBoundByController]; ours && c != nil && c.complete() && c.Spec.VolumeName == v.Name && w.unfit(c, v) {
			w.t.Fatalf("%s: claim %s (%s) has volume %s (%s)", w.name, c.Name, c.size(), v.Name, v.size())
		}
	}
}

func (w *world) unfit(c *claim, v *volume) bool {
	class, _ := c.class()
	return v.size().Cmp(c.size()) < 0 || modeDiffers(c, v) || !modesFit(c, v) || v.class() != class
}

// happen is something that others do.
func (w *world) happen() {
	defer w.check()
	defer w.wakeChanged(w.seen())
	n := fmt.Sprint(w.r.IntN(4))
	switch w.r.IntN(9) {
	case 0, 1:
		w.newVolume("v" + n)
	case 2, 3:
		w.newClaim("c" + n)
	case 4:
		c := &claim{}
		c.Namespace, c.Name = "default", "c"+n
		if w.api.Get(c, "default", c.Name) == nil {
			w.must(w.api.Delete(c, client.DeleteOptions{}))
		}
	case 5:
		w.provisionOne()
	case 6: // the scheduler reserves
		w.reserve(fmt.Sprint("v", w.r.IntN(4)), "c"+n)
	case 7: // an administrator deletes a volume that holds nothing
		v := &volume{}
		if w.api.Get(v, "", "v"+n) == nil && v.Spec.ClaimRef == nil && !w.had(v.Name) {
			w.must(w.api.Delete(v, client.DeleteOptions{Preconditions: &client.Preconditions{ResourceVersion: &v.ResourceVersion}}))
		}
	case 8: // a user takes a bound volume's claimRef away
		v := &volume{}
		if w.api.Get(v, "", "v"+n) == nil && v.Spec.ClaimRef != nil && v.Status.Phase == bound {
			w.must(write(w.api, v, &v.ObjectMeta, "", patch{"spec": patch{"claimRef": nil}}))
		}
	}
}

// had tells that a volume is that of a claim.
func (w *world) had(name string) bool {
	return slices.ContainsFunc(w.claims(), func(c *claim) bool { return c.complete() && c.Spec.VolumeName == name })
}

// reserve is what a scheduler does with a volume for a claim.
func (w *world) reserve(volumeName, claimName string) {
	c, v := &claim{}, &volume{}
	if w.api.Get(c, "default", claimName) == nil && c.Spec.VolumeName == "" && w.api.Get(v, "", volumeName) == nil &&
		v.Spec.ClaimRef == nil && v.Status.Phase == available && !w.unfit(c, v) {
		defer w.wakeChanged(w.seen())
		w.must(write(w.api, v, &v.ObjectMeta, "", bindVolume(v, c)))
		w.check()
	}
}

// sight is what is stored of an object that the binder watches.
type sight struct {
	revision string
	gone     []controller.Request // what its end wakes
}

func (w *world) seen() map[controller.Request]sight {
	out := map[controller.Request]sight{}
	for _, c := range w.claims() {
		q := controller.Request{Name: c.Spec.VolumeName}
		if q.Name == "" {
			q = controller.Request{Namespace: c.Namespace, Name: gone + c.Name}
		}
		out[controller.Request{Namespace: c.Namespace, Name: c.Name}] = sight{c.ResourceVersion, []controller.Request{q}}
	}
	for _, v := range w.volumes() {
		s := sight{revision: v.ResourceVersion}
		if r := v.Spec.ClaimRef; r != nil {
			s.gone = []controller.Request{{Namespace: r.Namespace, Name: r.Name}}
		}
		out[controller.Request{Name: v.Name}] = s
	}
	return out
}

// wakeChanged wakes what the watches map the changes since before to, and no more.
func (w *world) wakeChanged(before map[controller.Request]sight) {
	after := w.seen()
	for q, s := range after {
		if before[q].revision != s.revision {
			w.queue[q] = true
		}
	}
	for q, s := range before {
		if _, there := after[q]; there {
			continue
		}
		w.queue[q] = true
		for _, next := range s.gone {
			w.queue[next] = true
		}
	}
}

func (w *world) newVolume(name string) {
	v := aVolume(name, fmt.Sprint(1+w.r.IntN(5), "Gi"))
	w.made++
	v.UID, v.ResourceVersion, v.Status.Phase = fmt.Sprint("v", w.made), "", pending
	switch w.r.IntN(6) {
	case 0:
		v.Spec.ClaimRef = &reference{Namespace: "default", Name: fmt.Sprint("c", w.r.IntN(4))}
		v.Spec.Capacity["storage"] = "9Gi"
	case 1:
		v.Spec.VolumeMode = "Block"
	}
	w.must(w.api.Create(v))
}

func (w *world) newClaim(name string) {
	c := aClaim()
	w.made++
	c.Name, c.UID, c.ResourceVersion = name, fmt.Sprint("c", w.made), ""
	c.Spec.Resources.Requests["storage"] = resource.Quantity(fmt.Sprint(1+w.r.IntN(5), "Gi"))
	switch w.r.IntN(4) {
	case 0:
		class := "made"
		c.Spec.StorageClassName = &class
	case 1:
		c.Spec.VolumeName = fmt.Sprint("v", w.r.IntN(4))
	}
	w.must(w.api.Create(c))
}

// provisionOne is a provisioner that makes volumes for whoever asks, as the
// external ones do, slowly: the claim may be gone.
func (w *world) provisionOne() {
	for _, c := range w.claims() {
		if c.Annotations[annProvisioner] == "" || c.Spec.VolumeName != "" {
			continue
		}
		v := aVolume("pvc-"+c.UID, string(c.size()))
		v.UID, v.ResourceVersion, v.Spec.StorageClass, v.Spec.ReclaimPolicy, v.Status.Phase = "pv-"+c.UID, "", "made", remove, pending
		v.Annotations = map[string]string{annProvisionedBy: "x/y"}
		v.Spec.ClaimRef = &reference{Namespace: c.Namespace, Name: c.Name, UID: c.UID}
		w.must(w.api.Create(v))
		return
	}
}

// settle runs the binder, without kills or others, until nothing is left to do.
func (w *world) settle() {
	for i := 0; len(w.queue) > 0; i++ {
		if i > 3000 {
			w.t.Fatalf("%s: the binder never comes to rest", w.name)
		}
		w.step(-1)
	}
	vs := w.volumes()
	for _, c := range w.claims() {
		class, _ := c.class()
		if c.Status.Phase == pending && c.Spec.VolumeName == "" && class == "" {
			if v := findBest(vs, c, false); v != nil {
				w.t.Fatalf("%s: claim %s waits, and volume %s is good for it", w.name, c.Name, v.Name)
			}
		}
		if c.complete() != (c.Status.Phase == bound) {
			w.t.Fatalf("%s: claim %s is %s, bound %v", w.name, c.Name, c.Status.Phase, c.complete())
		}
	}
	for _, v := range vs {
		if v.Spec.ClaimRef == nil && w.had(v.Name) {
			w.t.Fatalf("%s: volume %s has lost its claim for ever", w.name, v.Name)
		}
		if v.Status.Phase == pending {
			w.t.Fatalf("%s: volume %s is Pending", w.name, v.Name)
		}
	}
}

// step handles one request. What was written wakes what it is about.
func (w *world) step(lives int) {
	for q := range w.queue {
		delete(w.queue, q)
		m := &mortal{Client: w.api, w: w, lives: lives}
		c := client.Client(m)
		if lives < 0 {
			c = w.api
		}
		before := w.seen()
		res, err := reconcile(c, q)
		if err != nil {
			if !errors.Is(err, errCrash) {
				w.must(err)
			}
			w.queue[q] = true
		}
		for _, next := range res.Enqueue {
			w.queue[next] = true
		}
		w.wakeChanged(before)
		w.check()
		return
	}
}

// In random histories, whoever is killed and whoever is faster, no volume is two
// claims', no claim's volume changes, and none that holds a claim's data becomes
// free for another; and in the end nobody waits for what is there.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(30) {
		s, err := sdktest.NewStore()
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, r: rand.New(rand.NewPCG(seed, 9)), api: s.Client(), name: fmt.Sprint("history ", seed),
			holds: map[string]string{}, keeps: map[string]string{}, refs: map[string]string{}, queue: map[controller.Request]bool{}}
		made := &storageClass{Provisioner: "x/y", BindingMode: "Immediate"}
		made.Name = "made"
		w.must(w.api.Create(made))
		for range 60 {
			if w.r.IntN(3) == 0 {
				w.happen()
			}
			w.step(w.r.IntN(5))
		}
		w.settle()
	}
}
