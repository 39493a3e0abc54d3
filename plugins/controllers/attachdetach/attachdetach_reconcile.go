package attachdetach

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
)

const (
	// maxWait is how long a node that is not well keeps a volume that it has in use
	// and no pod needs.
	maxWait = 6 * time.Minute
	// attachTimeout is after how long a driver's attacher is said to be late.
	attachTimeout = 2 * time.Minute
)

// state is all that matters for one volume of a driver.
type state struct {
	volume         string // the PersistentVolume that was asked for
	driver, handle string // "" if it is gone
	attachable     bool   // the driver attaches
	users          []user // the pods that need it, in order of their age
	attachments    []*attachment
	nodes          map[string]*node // of all these; nil for one that is gone
}

// user is a pod on a node that needs the volume.
type user struct {
	*pod
	volume    string // by which PersistentVolume
	exclusive bool   // which must not be on two nodes
	bound     bool   // its claim and the volume are bound
}

// memory is what is to be known of a volume at the next look, by names of attachments.
// Who forgets it waits anew, and tells things twice.
type memory struct {
	since map[string]time.Time // which nobody needs any more
	told  map[string]string    // what was told of it last
}

// plan is what is to be done for a volume: detached first, since others may wait.
type plan struct {
	detach []detachment
	create []*attachment
	notes  []note
	memory memory
	after  time.Duration // to look again; 0: when something changes
}

// detachment is an attachment that goes; a forced one even if the node has it in use.
type detachment struct {
	*attachment
	forced bool
}

type note struct {
	about *pod
	client.Note
}

// decide is the next step for a volume.
func decide(s *state, m memory, now time.Time) plan {
	p := plan{memory: memory{since: map[string]time.Time{}, told: map[string]string{}}}
	needed := map[string][]user{}
	var order []string // of nodes: who came first is served first
	if s.attachable {
		for _, u := range s.users {
			n := u.Spec.NodeName
			if needed[n] == nil {
				order = append(order, n)
			}
			needed[n] = append(needed[n], u)
		}
	}
	for _, a := range s.attachments {
		if needed[a.Spec.NodeName] == nil || !s.is(a) {
			p.release(s, a, m, now)
		}
	}
	if s.handle == "" {
		return p
	}
	for _, n := range order {
		p.attach(s, n, needed[n], m, now)
	}
	return p
}

// is tells that an attachment is the one that this controller has of the volume and
// its node.
func (s *state) is(a *attachment) bool {
	if s.handle == "" {
		return a.ours()
	}
	return a.Name == attachmentName(s.handle, s.driver, a.Spec.NodeName)
}

// release decides about an attachment that no pod needs.
func (p *plan) release(s *state, a *attachment, m memory, now time.Time) {
	if !s.is(a) || a.DeletionTimestamp != nil {
		return
	}
	n := s.nodes[a.Spec.NodeName]
	if n != nil && n.lost() {
		p.detach = append(p.detach, detachment{a, true})
		return
	}
	if n != nil && !n.uses(a.Name) {
		p.detach = append(p.detach, detachment{a, false})
		return
	}
	since, ok := m.since[a.Name]
	if !ok {
		since = now
	}
	left := maxWait - now.Sub(since)
	if left <= 0 && (n == nil || !n.ready()) {
		p.detach = append(p.detach, detachment{a, true})
		return
	}
	p.memory.since[a.Name] = since
	if left <= 0 {
		left = maxWait // the node is well; were it not asked for again, since would be lost
	}
	p.again(left)
}

func (p *plan) again(d time.Duration) {
	if p.after == 0 || d < p.after {
		p.after = d
	}
}

// attach decides about a node whose pods need the volume.
func (p *plan) attach(s *state, name string, users []user, m memory, now time.Time) {
	id := attachmentName(s.handle, s.driver, name)
	if i := slices.IndexFunc(s.attachments, func(a *attachment) bool { return a.Name == id }); i >= 0 {
		p.await(s, s.attachments[i], users, m, now)
		return
	}
	i := slices.IndexFunc(users, func(u user) bool { return u.bound })
	if n := s.nodes[name]; i < 0 || n == nil || !n.managed() {
		return
	}
	if elsewhere := p.nodesBut(s, name); users[i].exclusive && len(elsewhere) > 0 {
		if p.memory.told[id] = "blocked"; m.told[id] != "blocked" {
			p.blocked(s, users, elsewhere)
		}
		p.again(attachTimeout) // what has the volume may be of another PersistentVolume with this handle
		return
	}
	a := &attachment{}
	a.Name = id
	a.Spec.Attacher, a.Spec.NodeName, a.Spec.Source.Volume = s.driver, name, users[i].volume
	p.create = append(p.create, a)
}

// nodesBut are the other nodes that have the volume, or may: those from which it is
// being detached, and those to which the driver did not say that it is attached.
func (p *plan) nodesBut(s *state, name string) []string {
	var out []string
	for _, a := range slices.Concat(s.attachments, p.create) {
		if a.Spec.NodeName != name {
			out = append(out, a.Spec.NodeName)
		}
	}
	return out
}

// await tells the pods how the attachment that they wait for is getting on.
func (p *plan) await(s *state, a *attachment, users []user, m memory, now time.Time) {
	what, message := "", ""
	switch late := now.Sub(a.CreationTimestamp.Time()); {
	case a.DeletionTimestamp != nil:
		what, message = "deleting", "volume attachment is being deleted"
		p.again(attachTimeout) // it may be another PersistentVolume's, with this handle
	case a.Status.Attached:
		return
	case a.Status.Error != nil:
		what, message = "error "+string(a.Status.Error.Time), a.Status.Error.Message
	case late >= attachTimeout:
		what = fmt.Sprint("late ", int(late/attachTimeout))
		message = fmt.Sprintf("timed out waiting for external-attacher of %s CSI driver to attach volume %s", s.driver, s.handle)
		p.again(attachTimeout - late%attachTimeout)
	default:
		p.again(attachTimeout - late)
		return
	}
	if p.memory.told[a.Name] = what; m.told[a.Name] != what {
		p.tell(users, func(u user) string { return failed(u, message) })
	}
}

func failed(u user, message string) string {
	return fmt.Sprintf("AttachVolume.Attach failed for volume %q : %s", u.volume, message)
}

func (p *plan) tell(users []user, message func(user) string) {
	for _, u := range users {
		p.notes = append(p.notes, note{u.pod, client.Note{Warning: true, Reason: "FailedAttachVolume", Message: message(u)}})
	}
}

// blocked tells pods who has the volume that they wait for, as far as it is theirs to
// know.
func (p *plan) blocked(s *state, users []user, elsewhere []string) {
	p.tell(users, func(u user) string {
		var local []string
		others := 0
		for _, o := range s.users {
			switch {
			case !slices.Contains(elsewhere, o.Spec.NodeName):
			case o.Namespace == u.Namespace:
				local = append(local, o.Name)
			default:
				others++
			}
		}
		what := "Volume is already exclusively attached to one node, waiting on detach before it can be attached to another node"
		switch {
		case len(local) > 0 && others > 0:
			what = fmt.Sprintf("Volume is already used by pod(s) %s and %d pod(s) in different namespaces", strings.Join(local, ", "), others)
		case len(local) > 0:
			what = "Volume is already used by pod(s) " + strings.Join(local, ", ")
		case others > 0:
			what = fmt.Sprintf("Volume is already used by %d pod(s) in different namespaces", others)
		}
		return fmt.Sprintf("Waiting for detach for volume %q %s", u.volume, what)
	})
}

// reported is what the status of a node is to say of the volumes that are attached to
// it: what it says of those that are no driver's, and the names of its attachments.
func reported(n *node, attachments map[string]string) []attached {
	var out []attached
	left := map[string]bool{}
	for _, name := range attachments {
		left[name] = true
	}
	for _, v := range n.Status.Attached {
		if left[v.Name] || !strings.HasPrefix(v.Name, plugin) {
			out = append(out, v)
			delete(left, v.Name)
		}
	}
	var more []string
	for name := range left {
		more = append(more, name)
	}
	slices.Sort(more)
	for _, name := range more {
		out = append(out, attached{Name: name})
	}
	return out
}

// mayRelease tells that what is known of the node may let an attachment go.
func mayRelease(n *node, attachment string) bool {
	return n == nil || n.lost() || !n.ready() || !n.uses(attachment)
}
