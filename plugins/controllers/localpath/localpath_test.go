package localpath

import (
	"slices"
	"strings"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// world is a claim for which all is ready, and what it refers to.
type world struct {
	claim claim
	class class
	node  node
}

func newWorld() *world {
	w := &world{}
	c := &w.claim
	c.Namespace, c.Name, c.UID = "default", "c", "u"
	c.Annotations = map[string]string{annProvisioner: Provisioner, annSelectedNode: "n"}
	c.Spec.AccessModes, c.Spec.StorageClass, c.Spec.Resources.Requests.Storage = []string{"ReadWriteOnce"}, "local", "2Gi"
	w.class.Name, w.class.Provisioner, w.class.ReclaimPolicy = "local", Provisioner, remove
	w.node.Name = "n"
	w.node.Labels, w.node.Annotations = map[string]string{hostname: "host-n"}, map[string]string{DirectoryAnnotation: "/data/volumes"}
	return w
}

func TestProvision(t *testing.T) {
	for name, c := range map[string]struct {
		edit     func(*world)
		fails    string // the event; "": none
		made     bool
		selected bool // the claim keeps its node
	}{
		"made":                  {func(*world) {}, "", true, true},
		"bound":                 {func(w *world) { w.claim.Spec.VolumeName = "v" }, "", false, true},
		"another provisioner's": {func(w *world) { w.claim.Annotations[annProvisioner] = "x/y" }, "", false, true},
		"another class by now":  {func(w *world) { w.class.Provisioner = "x/y" }, "", false, true},
		"block":                 {func(w *world) { w.claim.Spec.VolumeMode = "Block" }, "volumeMode must be Filesystem", false, true},
		"many nodes":            {func(w *world) { w.claim.Spec.AccessModes = []string{"ReadWriteOnce", "ReadWriteMany"} }, "accessModes may be ReadWriteOnce", false, true},
		"selector":              {func(w *world) { w.claim.Spec.Selector = &struct{}{} }, "spec.selector must be empty", false, true},
		"from a snapshot":       {func(w *world) { w.claim.Spec.DataSourceRef = &struct{}{} }, "spec.dataSourceRef must be empty", false, true},
		"attributes":            {func(w *world) { w.claim.Spec.Attributes = "gold" }, "spec.volumeAttributesClassName must be empty", false, true},
		"mount options":         {func(w *world) { w.class.MountOptions = []string{"ro"} }, "has mount options [ro]", false, true},
		"no node":               {func(w *world) { delete(w.claim.Annotations, annSelectedNode) }, "must have volumeBindingMode WaitForFirstConsumer", false, false},
		"the node is gone":      {func(w *world) { w.claim.Annotations[annSelectedNode] = "m" }, `node "m" not found`, false, false},
		"not one of ours":       {func(w *world) { w.node.Annotations = nil }, "has no directory", false, false},
		"no host name":          {func(w *world) { w.node.Labels = nil }, "has no label kubernetes.io/hostname", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			c.edit(w)
			s, err := sdktest.NewStore(&w.claim, &w.class, &w.node)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // once more changes nothing
				if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "c"}); err != nil {
					t.Fatal(err)
				}
			}
			v := &corev1.PersistentVolume{}
			if err := s.Client().Get(v, "", "pvc-u"); (err == nil) != c.made {
				t.Fatalf("volume: %v", err)
			}
			if c.made && (v.Spec.Local.Path != "/data/volumes/pvc-u" || v.Spec.ClaimRef.UID != "u" || v.Spec.StorageClassName != "local" ||
				v.Spec.PersistentVolumeReclaimPolicy != remove || v.Labels[NodeLabel] != "n" || v.Annotations[annProvisionedBy] != Provisioner ||
				!slices.Equal(v.Finalizers, []string{Finalizer}) || v.Spec.Capacity["storage"] != "2Gi" ||
				v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0] != "host-n") {
				t.Errorf("made %+v", v)
			}
			failed := slices.ContainsFunc(s.Notes, func(n string) bool {
				return strings.HasPrefix(n, "c ProvisioningFailed: ") && strings.Contains(n, c.fails)
			})
			if failed != (c.fails != "") {
				t.Errorf("events %q", s.Notes)
			}
			got := &claim{}
			if err := s.Client().Get(got, "default", "c"); err != nil {
				t.Fatal(err)
			}
			if _, selected := got.Annotations[annSelectedNode]; selected != c.selected {
				t.Errorf("annotations %v", got.Annotations)
			}
		})
	}
}

func aVolume(edit ...func(*volume)) *volume {
	v := &volume{}
	v.Name, v.UID, v.Labels = "v", "uid-v", map[string]string{NodeLabel: "n"}
	v.Annotations, v.Finalizers = map[string]string{annProvisionedBy: Provisioner}, []string{Finalizer, "other"}
	v.Spec.ReclaimPolicy, v.Status.Phase = remove, released
	for _, e := range edit {
		e(v)
	}
	return v
}

func TestVolume(t *testing.T) {
	going := func(v *volume) { at := metav1.Time("2026-01-01T00:00:00Z"); v.DeletionTimestamp = &at }
	kept := func(v *volume) { v.Spec.ReclaimPolicy = "Retain" }
	used := func(v *volume) { v.Status.Phase = bound }
	foreign := func(v *volume) { v.Annotations = nil }
	there := func(w *world) {}
	gone := func(w *world) { w.node.Name = "m" }
	for name, c := range map[string]struct {
		volume  *volume
		world   func(*world)
		deleted bool
		holds   bool // it has the finalizer
	}{
		"released":                    {aVolume(), there, true, true},
		"released and kept":           {aVolume(kept), there, false, true},
		"bound":                       {aVolume(used), there, false, true},
		"somebody else's":             {aVolume(foreign), there, false, true},
		"going":                       {aVolume(going), there, true, true},
		"going, the node is gone":     {aVolume(going), gone, true, false},
		"going and bound, node gone":  {aVolume(going, used), gone, true, true},
		"going and kept":              {aVolume(going, kept), there, true, false},
		"released, the node is gone":  {aVolume(), gone, true, false},
		"kept, the node is gone":      {aVolume(kept), gone, false, true},
		"going, somebody else's":      {aVolume(going, foreign), gone, true, true},
		"going, bound and to be kept": {aVolume(going, kept, used), there, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			c.world(w)
			s, err := sdktest.NewStore(c.volume, &w.node)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := reconcile(s.Client(), controller.Request{Name: "v"}); err != nil {
					t.Fatal(err)
				}
			}
			got := &volume{}
			if err := s.Client().Get(got, "", "v"); err != nil {
				t.Fatal(err)
			}
			if (got.DeletionTimestamp != nil) != c.deleted || client.ContainsFinalizer(got, Finalizer) != c.holds {
				t.Errorf("deleted %v, finalizers %v", got.DeletionTimestamp, got.Finalizers)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	w := newWorld()
	c := &w.claim
	c.Spec.VolumeName, c.Status.Phase, c.Status.Capacity.Storage = "v", bound, "1Gi"
	v := aVolume(func(v *volume) {
		v.Spec.Capacity.Storage = "1Gi"
		v.Spec.ClaimRef = &struct {
			UID string `json:"uid"`
		}{"u"}
	})
	s, err := sdktest.NewStore(c, v, &w.class, &w.node)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "c"}); err != nil {
			t.Fatal(err)
		}
	}
	gotClaim, gotVolume := &claim{}, &volume{}
	if err := s.Client().Get(gotClaim, "default", "c"); err != nil {
		t.Fatal(err)
	}
	if err := s.Client().Get(gotVolume, "", "v"); err != nil {
		t.Fatal(err)
	}
	if gotClaim.Status.Capacity.Storage != "2Gi" || gotVolume.Spec.Capacity.Storage != "2Gi" || len(s.Notes) != 1 {
		t.Errorf("claim %v, volume %v, events %q", gotClaim.Status.Capacity, gotVolume.Spec.Capacity, s.Notes)
	}
}

// A node that is gone makes its volumes be looked at.
func TestNodeGone(t *testing.T) {
	other := aVolume(func(v *volume) { v.Name, v.UID, v.Labels = "w", "uid-w", map[string]string{NodeLabel: "m"} })
	s, err := sdktest.NewStore(aVolume(), other)
	if err != nil {
		t.Fatal(err)
	}
	res, err := reconcile(s.Client(), controller.Request{Name: ofNode + "n"})
	if err != nil || !slices.Equal(res.Enqueue, []controller.Request{{Name: "v"}}) {
		t.Errorf("%v, %v", res.Enqueue, err)
	}
}

// A class that changes wakes the claims that wait for it, and those alone; a claim
// whose volume's name is still taken by one that goes is looked at again.
func TestClaimsAreWoken(t *testing.T) {
	w := newWorld()
	at := metav1.Time("2026-01-01T00:00:00Z")
	going := aVolume(func(v *volume) { v.Name, v.DeletionTimestamp = "pvc-u", &at })
	has, other := newWorld().claim, newWorld().claim
	has.Name, has.UID, has.Spec.VolumeName = "has", "h", "v"
	other.Name, other.UID, other.Spec.StorageClass = "other", "o", "x"
	s, err := sdktest.NewStore(&w.claim, &has, &other, &w.class, &w.node, going)
	if err != nil {
		t.Fatal(err)
	}
	q := controller.Request{Namespace: "default", Name: "c"}
	res, err := reconcile(s.Client(), controller.Request{Name: ofClass + "local"})
	if err != nil || !slices.Equal(res.Enqueue, []controller.Request{q}) {
		t.Errorf("class: %v, %v", res.Enqueue, err)
	}
	if res, err := reconcile(s.Client(), q); err != nil || res.RequeueAfter == 0 {
		t.Errorf("claim: %v, %v", res, err)
	}
}
