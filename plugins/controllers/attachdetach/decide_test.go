package attachdetach

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

var now = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)

// aNode is a node that is ready and managed, but for what words say.
func aNode(name, words string) *node {
	n := &node{}
	n.Name, n.Annotations = name, map[string]string{annManaged: "true"}
	status := "True"
	for _, w := range strings.Fields(words) {
		switch w {
		case "unready":
			status = "Unknown"
		case "unmanaged":
			n.Annotations = nil
		case "lost":
			n.Spec.Taints = append(n.Spec.Taints, struct {
				Key string `json:"key"`
			}{outOfService})
		case "uses":
			n.Status.InUse = append(n.Status.InUse, volumeName("d", "h"))
		}
	}
	n.Status.Conditions = append(n.Status.Conditions, struct {
		Type   string `json:"type"`
		Status string `json:"status"`
	}{"Ready", status})
	return n
}

// anAttachment is one of volume h to a node, made ago.
func anAttachment(node, words string, ago time.Duration) *attachment {
	a := &attachment{}
	a.Name, a.CreationTimestamp = attachmentName("h", "d", node), metav1.NewTime(now.Add(-ago))
	a.Spec.Attacher, a.Spec.NodeName, a.Spec.Source.Volume = "d", node, "pv"
	for _, w := range strings.Fields(words) {
		switch w {
		case "attached":
			a.Status.Attached = true
		case "failed":
			a.Status.Error = &attachmentErr{Time: "2024-01-02T03:00:00Z", Message: "no room"}
		case "deleting":
			at := metav1.NewTime(now)
			a.DeletionTimestamp = &at
		case "foreign":
			a.Name = "mine"
		}
	}
	return a
}

func aUser(namespace, name, node string, exclusive bool) user {
	p := &pod{}
	p.Namespace, p.Name, p.UID, p.Spec.NodeName = namespace, name, "uid-"+namespace+name, node
	return user{p, "pv", exclusive, true}
}

// told is a plan in words.
func told(p plan) []string {
	var out []string
	for _, d := range p.detach {
		s := "detach " + d.Spec.NodeName
		if d.forced {
			s += " by force"
		}
		out = append(out, s)
	}
	for _, a := range p.create {
		out = append(out, "attach "+a.Spec.NodeName)
	}
	for _, n := range p.notes {
		out = append(out, fmt.Sprintf("%s/%s %s: %s", n.about.Namespace, n.about.Name, n.Reason, n.Message))
	}
	if p.after > 0 {
		out = append(out, "after "+p.after.String())
	}
	return out
}

func TestDecide(t *testing.T) {
	const exclusively, shared = true, false
	waiting := "default/two FailedAttachVolume: Waiting for detach for volume \"pv\" Volume is already "
	failing := "default/one FailedAttachVolume: AttachVolume.Attach failed for volume \"pv\" : "
	one := aUser("default", "one", "a", exclusively)
	two := aUser("default", "two", "b", exclusively)
	unbound := aUser("default", "one", "a", exclusively)
	unbound.bound = false
	id := attachmentName("h", "d", "a")
	ago := func(d time.Duration) memory { return memory{since: map[string]time.Time{id: now.Add(-d)}} }
	for name, c := range map[string]struct {
		a, b  string // the nodes; "gone"
		users []user
		has   []*attachment
		m     memory
		edit  func(*state)
		want  []string
	}{
		"nothing":                    {},
		"needed":                     {users: []user{one}, want: []string{"attach a"}},
		"not bound":                  {users: []user{unbound}},
		"one of two pods is bound":   {users: []user{unbound, aUser("default", "p", "a", exclusively)}, want: []string{"attach a"}},
		"not managed":                {a: "unmanaged", users: []user{one}},
		"the node is gone":           {a: "gone", users: []user{one}},
		"the driver does not attach": {users: []user{one}, edit: func(s *state) { s.attachable = false }},
		"shared":                     {users: []user{aUser("default", "one", "a", shared), aUser("default", "two", "b", shared)}, want: []string{"attach a", "attach b"}},
		"two want one":               {users: []user{two, one}, want: []string{"attach b", "default/one FailedAttachVolume: Waiting for detach for volume \"pv\" Volume is already used by pod(s) two", "after 2m0s"}},
		"attached":                   {users: []user{one}, has: []*attachment{anAttachment("a", "attached", time.Hour)}},
		"attaching":                  {users: []user{one}, has: []*attachment{anAttachment("a", "", 30*time.Second)}, want: []string{"after 1m30s"}},
		"late":                       {users: []user{one}, has: []*attachment{anAttachment("a", "", 130*time.Second)}, want: []string{failing + "timed out waiting for external-attacher of d CSI driver to attach volume h", "after 1m50s"}},
		"said to be late":            {users: []user{one}, has: []*attachment{anAttachment("a", "", 130*time.Second)}, m: memory{told: map[string]string{id: "late 1"}}, want: []string{"after 1m50s"}},
		"failed":                     {users: []user{one}, has: []*attachment{anAttachment("a", "failed", time.Hour)}, want: []string{failing + "no room"}},
		"said to have failed":        {users: []user{one}, has: []*attachment{anAttachment("a", "failed", time.Hour)}, m: memory{told: map[string]string{id: "error 2024-01-02T03:00:00Z"}}},
		"wanted again, and going":    {users: []user{one}, has: []*attachment{anAttachment("a", "attached deleting", time.Hour)}, want: []string{failing + "volume attachment is being deleted", "after 2m0s"}},
		"another node has it":        {users: []user{one, two}, has: []*attachment{anAttachment("a", "attached", time.Hour)}, want: []string{waiting + "used by pod(s) one", "after 2m0s"}},
		"another node may have it":   {a: "uses", users: []user{two}, has: []*attachment{anAttachment("a", "failed", time.Hour)}, want: []string{waiting + "exclusively attached to one node, waiting on detach before it can be attached to another node", "after 2m0s"}},
		"pods of others have it":     {users: []user{aUser("other", "x", "a", exclusively), two}, has: []*attachment{anAttachment("a", "attached", time.Hour)}, want: []string{waiting + "used by 1 pod(s) in different namespaces", "after 2m0s"}},
		"pods of all have it":        {users: []user{one, aUser("other", "x", "a", exclusively), two}, has: []*attachment{anAttachment("a", "attached", time.Hour)}, want: []string{waiting + "used by pod(s) one and 1 pod(s) in different namespaces", "after 2m0s"}},
		"told who has it":            {users: []user{one, two}, has: []*attachment{anAttachment("a", "attached", time.Hour)}, m: memory{told: map[string]string{attachmentName("h", "d", "b"): "blocked"}}, want: []string{"after 2m0s"}},
		"moves":                      {users: []user{two}, has: []*attachment{anAttachment("a", "attached deleting", time.Hour)}, m: memory{told: map[string]string{attachmentName("h", "d", "b"): "blocked"}}, want: []string{"after 2m0s"}},
		"not needed":                 {has: []*attachment{anAttachment("a", "attached", time.Hour)}, want: []string{"detach a"}},
		"not needed before it was":   {has: []*attachment{anAttachment("a", "", time.Hour)}, want: []string{"detach a"}},
		"going":                      {has: []*attachment{anAttachment("a", "attached deleting", time.Hour)}},
		"somebody else's":            {has: []*attachment{anAttachment("a", "attached foreign", time.Hour)}},
		"in use":                     {a: "uses", has: []*attachment{anAttachment("a", "attached", time.Hour)}, want: []string{"after 6m0s"}},
		"in use for long":            {a: "uses", has: []*attachment{anAttachment("a", "attached", time.Hour)}, m: ago(time.Hour), want: []string{"after 6m0s"}},
		"in use, not ready":          {a: "uses unready", has: []*attachment{anAttachment("a", "attached", time.Hour)}, m: ago(5 * time.Minute), want: []string{"after 1m0s"}},
		"not ready for long":         {a: "uses unready", has: []*attachment{anAttachment("a", "attached", time.Hour)}, m: ago(6 * time.Minute), want: []string{"detach a by force"}},
		"not ready, needed":          {a: "uses unready", users: []user{one}, has: []*attachment{anAttachment("a", "attached", time.Hour)}, m: ago(time.Hour)},
		"out of service":             {a: "uses unready lost", has: []*attachment{anAttachment("a", "attached", time.Hour)}, want: []string{"detach a by force"}},
		"the node went":              {a: "gone", has: []*attachment{anAttachment("a", "attached", time.Hour)}, want: []string{"after 6m0s"}},
		"the node went long ago":     {a: "gone", has: []*attachment{anAttachment("a", "attached", time.Hour)}, m: ago(6 * time.Minute), want: []string{"detach a by force"}},
		"the node went, needed":      {a: "gone", users: []user{one}, has: []*attachment{anAttachment("a", "attached", time.Hour)}},
		"attaches no more":           {users: []user{one}, has: []*attachment{anAttachment("a", "attached", time.Hour)}, edit: func(s *state) { s.attachable = false }, want: []string{"detach a"}},
		"the volume went":            {has: []*attachment{anAttachment("a", "attached", time.Hour)}, edit: func(s *state) { s.handle, s.driver = "", "" }, want: []string{"detach a"}},
		"the volume went, in use":    {a: "uses", has: []*attachment{anAttachment("a", "attached", time.Hour)}, edit: func(s *state) { s.handle, s.driver = "", "" }, want: []string{"after 6m0s"}},
		"the volume went, needed":    {users: []user{unbound}, has: []*attachment{anAttachment("a", "attached", time.Hour)}, edit: func(s *state) { s.handle, s.driver = "", "" }},
		"somebody's of no volume":    {has: []*attachment{anAttachment("a", "attached foreign", time.Hour)}, edit: func(s *state) { s.handle, s.driver = "", "" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := &state{volume: "pv", driver: "d", handle: "h", attachable: true, users: c.users, attachments: c.has, nodes: map[string]*node{}}
			for n, words := range map[string]string{"a": c.a, "b": c.b} {
				if s.nodes[n] = nil; words != "gone" {
					s.nodes[n] = aNode(n, words)
				}
			}
			if c.edit != nil {
				c.edit(s)
			}
			p := decide(s, c.m, now)
			if d := cmp.Diff(c.want, told(p)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, again := range told(decide(s, p.memory, now)) {
				if strings.Contains(again, "FailedAttachVolume") && len(p.create) == 0 {
					t.Errorf("told twice: %s", again)
				}
			}
		})
	}
}

func TestExclusive(t *testing.T) {
	for modes, want := range map[string]bool{"": false, "ReadWriteOnce": true, "ReadWriteOncePod": true, "ReadOnlyMany": false, "ReadWriteMany": false, "ReadWriteOnce ReadOnlyMany": false} {
		v := &volume{}
		v.Spec.AccessModes = strings.Fields(modes)
		if got := v.exclusive(); got != want {
			t.Errorf("%q: %v", modes, got)
		}
	}
}

func TestTerminated(t *testing.T) {
	at := metav1.NewTime(now)
	running, ended, waiting := containerStatus{}, containerStatus{}, containerStatus{}
	ended.State.Terminated, waiting.State.Waiting = &struct{}{}, &struct{}{}
	for name, c := range map[string]struct {
		phase    string
		deleting bool
		has      []containerStatus
		want     bool
	}{
		"new":                     {"Pending", false, nil, false},
		"runs":                    {"Running", false, []containerStatus{running}, false},
		"all ended, not deleted":  {"Running", false, []containerStatus{ended}, false},
		"succeeded":               {"Succeeded", false, []containerStatus{ended}, true},
		"failed":                  {"Failed", false, nil, true},
		"deleted before it began": {"Pending", true, nil, true},
		"deleted, runs":           {"Running", true, []containerStatus{ended, running}, false},
		"deleted, ended or waits": {"Running", true, []containerStatus{ended, waiting}, true},
	} {
		p := &pod{}
		p.Status.Phase, p.Status.Containers = c.phase, c.has
		if c.deleting {
			p.DeletionTimestamp = &at
		}
		if got := p.terminated(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestReported(t *testing.T) {
	n := aNode("a", "")
	n.Status.Attached = []attached{{Name: "kubernetes.io/other/x", DevicePath: "/dev/x"}, {Name: "kubernetes.io/csi/d^gone"}, {Name: "kubernetes.io/csi/d^stays", DevicePath: "/dev/y"}}
	got := reported(n, map[string]string{"1": "kubernetes.io/csi/d^new", "2": "kubernetes.io/csi/d^stays", "3": "kubernetes.io/csi/d^more"})
	want := []attached{{Name: "kubernetes.io/other/x", DevicePath: "/dev/x"}, {Name: "kubernetes.io/csi/d^stays", DevicePath: "/dev/y"}, {Name: "kubernetes.io/csi/d^more"}, {Name: "kubernetes.io/csi/d^new"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestAttachmentName: drivers and operators compute it, too.
func TestAttachmentName(t *testing.T) {
	got := attachmentName("vol", "driver.example.com", "node-1")
	if want := "csi-274cfc108d366f30ab9c6e5b64e02e8021355d264a4f75d1c149dd3ade32fa18"; got != want { // by sha256sum
		t.Errorf("name %s, want %s", got, want)
	}
	a := &attachment{}
	a.Name, a.Spec.Source.Volume = got, "pv"
	if !a.ours() || !names("kubernetes.io/csi/driver.example.com^vol", got, "node-1") || names("kubernetes.io/csi/driver.example.com^vol", got, "node-2") {
		t.Errorf("%s is not known again", got)
	}
}
