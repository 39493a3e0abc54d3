package persistentvolume

import (
	"fmt"
	"reflect"
	"testing"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

func aClaim(edit ...func(*claim)) *claim {
	c := &claim{}
	c.Namespace, c.Name, c.UID, c.ResourceVersion = "default", "c", "uid-c", "1"
	c.Spec.AccessModes, c.Spec.Resources.Requests = []string{"ReadWriteOnce"}, sizes{"storage": "5Gi"}
	c.Spec.StorageClassName, c.Status.Phase = new(string), pending
	for _, e := range edit {
		e(c)
	}
	return c
}

func aVolume(name, size string, edit ...func(*volume)) *volume {
	v := &volume{}
	v.Name, v.UID, v.ResourceVersion = name, "uid-"+name, "1"
	v.Spec.AccessModes, v.Spec.Capacity = []string{"ReadWriteOnce"}, sizes{"storage": resource.Quantity(size)}
	v.Spec.ReclaimPolicy, v.Status.Phase = retain, available
	for _, e := range edit {
		e(v)
	}
	return v
}

func ofClaim(uid string) func(*volume) {
	return func(v *volume) { v.Spec.ClaimRef = &reference{Namespace: "default", Name: "c", UID: uid} }
}

func annotated(key, value string) func(*volume) {
	return func(v *volume) { v.Annotations = map[string]string{key: value} }
}

func noted(key string) func(*claim) {
	return func(c *claim) {
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		c.Annotations[key] = "yes"
	}
}

func classed(name string) func(*claim) {
	return func(c *claim) { c.Spec.StorageClassName = &name }
}

func TestFindBest(t *testing.T) {
	modes := func(m ...string) func(*volume) { return func(v *volume) { v.Spec.AccessModes = m } }
	for name, c := range map[string]struct {
		claim   *claim
		volumes []*volume
		delay   bool
		want    string
	}{
		"nothing there":             {aClaim(), nil, false, ""},
		"smallest that fits":        {aClaim(), []*volume{aVolume("ten", "10Gi"), aVolume("one", "1Gi"), aVolume("six", "6Gi"), aVolume("seven", "7Gi")}, false, "six"},
		"exact size":                {aClaim(), []*volume{aVolume("ten", "10Gi"), aVolume("five", "5120Mi")}, false, "five"},
		"modes must be there":       {aClaim(), []*volume{aVolume("ro", "5Gi", modes("ReadOnlyMany"))}, false, ""},
		"fewest modes first":        {aClaim(), []*volume{aVolume("many", "5Gi", modes("ReadWriteMany", "ReadWriteOnce")), aVolume("once", "50Gi")}, false, "once"},
		"more modes are good":       {aClaim(), []*volume{aVolume("many", "5Gi", modes("ReadWriteMany", "ReadWriteOnce"))}, false, "many"},
		"another class":             {aClaim(), []*volume{aVolume("v", "5Gi", func(v *volume) { v.Spec.StorageClass = "fast" })}, false, ""},
		"its class":                 {aClaim(classed("fast")), []*volume{aVolume("v", "5Gi", func(v *volume) { v.Spec.StorageClass = "fast" })}, false, "v"},
		"class by annotation":       {aClaim(classed("fast")), []*volume{aVolume("v", "5Gi", annotated(annBetaClass, "fast"))}, false, "v"},
		"block is not file system":  {aClaim(), []*volume{aVolume("v", "5Gi", func(v *volume) { v.Spec.VolumeMode = "Block" })}, false, ""},
		"of another claim":          {aClaim(), []*volume{aVolume("v", "5Gi", ofClaim("uid-other"))}, false, ""},
		"reserved goes first":       {aClaim(), []*volume{aVolume("five", "5Gi"), aVolume("v", "50Gi", ofClaim(""))}, false, "v"},
		"reserved but too small":    {aClaim(), []*volume{aVolume("v", "1Gi", ofClaim(""))}, false, ""},
		"reserved while it waits":   {aClaim(), []*volume{aVolume("five", "5Gi"), aVolume("v", "50Gi", ofClaim(""))}, true, "v"},
		"free while it waits":       {aClaim(), []*volume{aVolume("five", "5Gi")}, true, ""},
		"not available yet":         {aClaim(), []*volume{aVolume("v", "5Gi", func(v *volume) { v.Status.Phase = pending })}, false, ""},
		"released":                  {aClaim(), []*volume{aVolume("v", "5Gi", func(v *volume) { v.Status.Phase = released })}, false, ""},
		"being deleted":             {aClaim(), []*volume{aVolume("v", "5Gi", func(v *volume) { v.DeletionTimestamp = new(metav1.Time) })}, false, ""},
		"selector":                  {aClaim(func(c *claim) { c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}} }), []*volume{aVolume("no", "5Gi"), aVolume("yes", "9Gi", func(v *volume) { v.Labels = map[string]string{"a": "b"} })}, false, "yes"},
		"attributes class":          {aClaim(func(c *claim) { c.Spec.AttributesClass = "gold" }), []*volume{aVolume("v", "5Gi")}, false, ""},
		"attributes class and none": {aClaim(), []*volume{aVolume("v", "5Gi", func(v *volume) { s := "gold"; v.Spec.AttributesClass = &s })}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if v := findBest(c.volumes, c.claim, c.delay); v != nil {
				got = v.Name
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// summary is a plan in one line.
func (p claimPlan) summary() string {
	s := ""
	if p.bind != nil {
		s += " bind " + p.bind.Name
	}
	if p.phase != "" {
		s += " phase " + p.phase
	}
	if p.class != "" {
		s += " class " + p.class
	}
	if p.provision != "" {
		s += " provision " + p.provision
	}
	if p.note != nil {
		s += fmt.Sprintf(" %v %s", p.note.Warning, p.note.Reason)
	}
	if p.err != nil {
		s += " again"
	}
	return s
}

func TestDecideClaim(t *testing.T) {
	class := func(name, provisioner, mode string) *storageClass {
		s := &storageClass{Provisioner: provisioner, BindingMode: mode}
		s.Name = name
		return s
	}
	names := func(c *claim) { c.Spec.VolumeName = "v" }
	done := noted(annBindCompleted)
	unclassed := func(c *claim) { c.Spec.StorageClassName = nil }
	for name, c := range map[string]struct {
		view claimView
		want string
	}{
		"a volume fits":              {claimView{claim: aClaim(), volumes: []*volume{aVolume("v", "5Gi")}}, " bind v"},
		"no class and no volume":     {claimView{claim: aClaim()}, " phase Pending false FailedBinding"},
		"default class":              {claimView{claim: aClaim(unclassed), fallback: class("std", "x/y", "Immediate")}, " class std"},
		"the class is to be none":    {claimView{claim: aClaim(), fallback: class("std", "x/y", "Immediate")}, " phase Pending false FailedBinding"},
		"a volume before a default":  {claimView{claim: aClaim(unclassed), volumes: []*volume{aVolume("v", "5Gi")}, fallback: class("std", "x/y", "Immediate")}, " bind v"},
		"provision":                  {claimView{claim: aClaim(classed("std")), class: class("std", "x/y", "Immediate")}, " provision x/y false ExternalProvisioning"},
		"provision by a driver":      {claimView{claim: aClaim(classed("std")), class: class("std", "kubernetes.io/gce-pd", "Immediate")}, " provision pd.csi.storage.gke.io false ExternalProvisioning"},
		"no provisioner":             {claimView{claim: aClaim(classed("std")), class: class("std", "kubernetes.io/no-provisioner", "Immediate")}, " true ProvisioningFailed"},
		"no such class":              {claimView{claim: aClaim(classed("std"))}, " true ProvisioningFailed"},
		"wait for a pod":             {claimView{claim: aClaim(classed("std")), class: class("std", "x/y", waitForConsumer)}, " phase Pending false WaitForFirstConsumer"},
		"wait for a pod's node":      {claimView{claim: aClaim(classed("std")), class: class("std", "x/y", waitForConsumer), waiting: []string{"p"}}, " phase Pending false WaitForPodScheduled"},
		"waited, and a volume fits":  {claimView{claim: aClaim(), class: class("std", "x/y", waitForConsumer), volumes: []*volume{aVolume("v", "5Gi")}}, " phase Pending false WaitForFirstConsumer"},
		"reserved by the scheduler":  {claimView{claim: aClaim(), class: class("std", "x/y", waitForConsumer), volumes: []*volume{aVolume("v", "5Gi", ofClaim("uid-c"))}}, " bind v"},
		"a node is selected":         {claimView{claim: aClaim(classed("std"), noted(annSelectedNode)), class: class("std", "x/y", waitForConsumer)}, " provision x/y false ExternalProvisioning"},
		"named, not there":           {claimView{claim: aClaim(names)}, " phase Pending"},
		"named":                      {claimView{claim: aClaim(names), named: aVolume("v", "5Gi")}, " bind v"},
		"named, too small":           {claimView{claim: aClaim(names), named: aVolume("v", "1Gi")}, " phase Pending true VolumeMismatch"},
		"named and reserved":         {claimView{claim: aClaim(names), named: aVolume("v", "1Gi", ofClaim(""))}, " bind v"},
		"named, of another":          {claimView{claim: aClaim(names), named: aVolume("v", "5Gi", ofClaim("uid-x"))}, " phase Pending true FailedBinding"},
		"named by us, of another":    {claimView{claim: aClaim(names, noted(annBoundByController)), named: aVolume("v", "5Gi", ofClaim("uid-x"))}, " true FailedBinding again"},
		"bound":                      {claimView{claim: aClaim(names, done), named: aVolume("v", "5Gi", ofClaim("uid-c"))}, " bind v"},
		"bound, the volume forgot":   {claimView{claim: aClaim(names, done), named: aVolume("v", "5Gi")}, " bind v"},
		"bound, the volume is gone":  {claimView{claim: aClaim(names, done)}, " phase Lost true ClaimLost"},
		"bound, to nothing":          {claimView{claim: aClaim(done)}, " phase Lost true ClaimLost"},
		"bound to another's volume":  {claimView{claim: aClaim(names, done), named: aVolume("v", "5Gi", ofClaim("uid-x"))}, " phase Lost true ClaimMisbound"},
		"bound, and only its name's": {claimView{claim: aClaim(names, done), named: aVolume("v", "5Gi", ofClaim(""))}, " phase Lost true ClaimMisbound"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decideClaim(c.view).summary(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDecideVolume(t *testing.T) {
	policy := func(p string) func(*volume) { return func(v *volume) { v.Spec.ReclaimPolicy = p } }
	phase := func(p string) func(*volume) { return func(v *volume) { v.Status.Phase = p } }
	mine, elsewhere := func(c *claim) { c.Spec.VolumeName = "v" }, func(c *claim) { c.Spec.VolumeName = "w" }
	csi := func(v *volume) {
		v.Spec.CSI = &struct {
			Driver string `json:"driver"`
		}{"d"}
	}
	for name, c := range map[string]struct {
		volume *volume
		claim  *claim
		want   string
	}{
		"free":                       {aVolume("v", "5Gi"), nil, "Available"},
		"reserved":                   {aVolume("v", "5Gi", ofClaim("")), nil, "Available"},
		"reserved, and it is there":  {aVolume("v", "5Gi", ofClaim("")), aClaim(), "Available wake"},
		"bound":                      {aVolume("v", "5Gi", ofClaim("uid-c")), aClaim(mine, func(c *claim) { c.Status.Phase = bound }), "Bound"},
		"bound, the claim is lost":   {aVolume("v", "5Gi", ofClaim("uid-c")), aClaim(mine, func(c *claim) { c.Status.Phase = lost }), "Bound wake"},
		"half bound":                 {aVolume("v", "5Gi", ofClaim("uid-c")), aClaim(), " wake"},
		"half bound, another mode":   {aVolume("v", "5Gi", ofClaim("uid-c"), func(v *volume) { v.Spec.VolumeMode = "Block" }), aClaim(), " VolumeMismatch VolumeMismatch"},
		"kept":                       {aVolume("v", "5Gi", ofClaim("uid-c")), nil, "Released"},
		"kept, another of the name":  {aVolume("v", "5Gi", ofClaim("uid-old")), aClaim(mine), "Released"},
		"a provisioner's":            {aVolume("v", "5Gi", ofClaim("uid-c"), policy(remove), annotated(annProvisionedBy, "x/y")), nil, "Released"},
		"a driver's":                 {aVolume("v", "5Gi", ofClaim("uid-c"), policy(remove), csi), nil, "Released"},
		"nobody's":                   {aVolume("v", "5Gi", ofClaim("uid-c"), policy(remove)), nil, "Failed VolumeFailedDelete"},
		"once Kubernetes' own":       {aVolume("v", "5Gi", ofClaim("uid-c"), policy(remove), annotated(annProvisionedBy, "kubernetes.io/x")), nil, "Failed VolumeFailedDelete"},
		"to be wiped":                {aVolume("v", "5Gi", ofClaim("uid-c"), policy(recycle)), nil, "Failed VolumeFailedRecycle"},
		"an unknown policy":          {aVolume("v", "5Gi", ofClaim("uid-c"), policy("x")), nil, "Failed VolumeUnknownReclaimPolicy"},
		"failed before":              {aVolume("v", "5Gi", ofClaim("uid-c"), phase(failed)), nil, "Failed"},
		"its claim took another":     {aVolume("v", "5Gi", ofClaim("uid-c")), aClaim(elsewhere), "Available unbind"},
		"made, but not needed":       {aVolume("v", "5Gi", ofClaim("uid-c"), policy(remove), annotated(annProvisionedBy, "x/y")), aClaim(elsewhere), "Released"},
		"made, not needed, but kept": {aVolume("v", "5Gi", ofClaim("uid-c"), annotated(annProvisionedBy, "x/y")), aClaim(elsewhere), "Available unbind"},
	} {
		t.Run(name, func(t *testing.T) {
			p := decideVolume(c.volume, c.claim)
			got := p.phase
			for s, is := range map[string]bool{" wake": p.wake, " unbind": p.unbind} {
				if is {
					got += s
				}
			}
			if p.note != nil {
				got += " " + p.note.Reason
			}
			if p.claimNote != nil {
				got += " " + p.claimNote.Reason
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestUpkeep(t *testing.T) {
	by := func(p string, finalizers ...string) *volume {
		return aVolume("v", "5Gi", annotated(annProvisionedBy, p), func(v *volume) { v.Finalizers = finalizers })
	}
	for name, c := range map[string]struct {
		volume *volume
		want   patch
	}{
		"nobody's":      {aVolume("v", "5Gi"), nil},
		"a provisioner": {by("x/y", finalizerExternal), nil},
		"taken over": {by("kubernetes.io/aws-ebs", finalizerInTree, finalizerExternal), patch{"metadata": patch{
			"annotations": patch{annMigratedTo: "ebs.csi.aws.com"}, "finalizers": []string{finalizerExternal}}}},
		"of old": {by("kubernetes.io/old", finalizerInTree, "a", finalizerExternal), patch{"metadata": patch{"finalizers": []string{"a"}}}},
	} {
		if got := volumeUpkeep(c.volume); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestDefaultOf(t *testing.T) {
	at := func(name, when string, is bool) *storageClass {
		s := &storageClass{}
		s.Name, s.CreationTimestamp = name, metav1.Time(when)
		if is {
			s.Annotations = map[string]string{annDefaultClass: "true"}
		}
		return s
	}
	old, young := "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	got := defaultOf([]*storageClass{at("a", old, true), at("c", young, true), at("b", young, true), at("d", young, false)})
	if got == nil || got.Name != "b" {
		t.Errorf("got %v, want b", got)
	}
	if got := defaultOf([]*storageClass{at("d", young, false)}); got != nil {
		t.Errorf("got %v, want none", got)
	}
}
