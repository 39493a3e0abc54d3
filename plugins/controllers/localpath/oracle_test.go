package localpath

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var errKilled = errors.New("killed")

// cluster is one with a few local volumes, whose users change their minds.
type cluster struct {
	t    *testing.T
	r    *rand.Rand
	api  client.Client
	name string
	data map[string]bool // volumes whose directory is there
	// busy: the provisioner is at work. A node that is made again just then finds its
	// directories without their volumes, as one that is made again later does.
	busy bool
}

// hurried is the client of a provisioner that is killed after some writes, and before
// each of which somebody else may be faster. What it writes is held against what is
// stored at that moment.
type hurried struct {
	client.Client
	w     *cluster
	lives int
}

func (h *hurried) before() error {
	if h.lives--; h.lives < 0 {
		return errKilled
	}
	if h.w.r.IntN(3) == 0 {
		h.w.busy = true
		h.w.happen()
		h.w.busy = false
	}
	return nil
}

func (h *hurried) stored(o client.Object) *volume {
	v := &volume{}
	if err := h.Client.Get(v, "", o.(*volume).Name); err != nil {
		return nil
	}
	return v
}

func (h *hurried) Delete(o client.Object, d client.DeleteOptions) error {
	if err := h.before(); err != nil {
		return err
	}
	was := h.stored(o)
	err := h.Client.Delete(o, d)
	if err == nil && was != nil && (was.Spec.ReclaimPolicy != remove || was.Status.Phase != released) {
		h.w.t.Fatalf("%s: volume %s is deleted while %s, policy %s", h.w.name, was.Name, was.Status.Phase, was.Spec.ReclaimPolicy)
	}
	return err
}

func (h *hurried) Patch(o client.Object, p client.Patch) error {
	if err := h.before(); err != nil {
		return err
	}
	was, there := h.stored(o), h.w.nodeThere()
	err := h.Client.Patch(o, p)
	if err == nil && was != nil && client.ContainsFinalizer(was, Finalizer) && there && was.Spec.ReclaimPolicy == remove {
		h.w.t.Fatalf("%s: volume %s is let go, and its data stay behind", h.w.name, was.Name)
	}
	return err
}

func (w *cluster) nodeThere() bool { return w.api.Get(&node{}, "", "n") == nil }

func (w *cluster) must(err error) {
	if err != nil && !client.IsConflict(err) && !client.IsNotFound(err) && !client.IsAlreadyExists(err) {
		w.t.Helper()
		w.t.Fatalf("%s: %v", w.name, err)
	}
}

func (w *cluster) set(v *volume, fields map[string]any) {
	fields["metadata"] = map[string]any{"uid": v.UID}
	w.must(w.api.Patch(v, client.Patch{Data: fields}))
}

// happen is something that a user, the binder, an agent or an administrator does.
func (w *cluster) happen() {
	v := &volume{}
	if w.api.Get(v, "", fmt.Sprint("v", w.r.IntN(3))) != nil {
		name := fmt.Sprint("v", w.r.IntN(3))
		fresh := aVolume(func(v *volume) { v.Name, v.UID, v.Status.Phase = name, "", bound })
		if err := w.api.Create(fresh); err == nil {
			w.data[fresh.UID] = true
		}
		return
	}
	switch w.r.IntN(8) {
	case 0, 1:
		w.set(v, map[string]any{"spec": map[string]any{"persistentVolumeReclaimPolicy": []string{"Retain", remove}[w.r.IntN(2)]}})
	case 2, 3:
		w.set(v, map[string]any{"status": map[string]any{"phase": released}})
	case 4:
		w.must(w.api.Delete(v, client.DeleteOptions{}))
	case 5, 6:
		w.agent(v)
	case 7:
		if w.busy {
			return
		}
		n := &node{}
		n.Name = "n"
		if w.r.IntN(4) > 0 {
			w.must(w.api.Create(n))
		} else {
			w.must(w.api.Delete(n, client.DeleteOptions{}))
		}
	}
}

// agent does what node/volume/localpath does.
func (w *cluster) agent(v *volume) {
	if w.nodeThere() && v.DeletionTimestamp != nil && client.ContainsFinalizer(v, Finalizer) && v.Spec.ReclaimPolicy == remove && v.Status.Phase != bound {
		delete(w.data, v.UID)
		w.must(client.RemoveFinalizer(w.api, v, Finalizer))
	}
}

// In random histories the provisioner, whenever it is killed and whoever is faster,
// deletes no volume that is to be kept or has a claim, and lets none go whose data an
// agent is still to remove.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(150) {
		s, err := sdktest.NewStore()
		if err != nil {
			t.Fatal(err)
		}
		w := &cluster{t: t, r: rand.New(rand.NewPCG(seed, 4)), api: s.Client(), name: fmt.Sprint("history ", seed), data: map[string]bool{}}
		for range 60 {
			w.happen()
			h := &hurried{Client: w.api, w: w, lives: w.r.IntN(3)}
			if _, err := reconcile(h, controller.Request{Name: fmt.Sprint("v", w.r.IntN(3))}); err != nil && !errors.Is(err, errKilled) {
				w.must(err)
			}
		}
		w.settle()
	}
}

// settle lets all be done, and looks at what is left: volumes with a claim, and those
// that are kept.
func (w *cluster) settle() {
	n := &node{}
	n.Name = "n"
	w.must(w.api.Create(n))
	for range 3 {
		for i := range 3 {
			name := fmt.Sprint("v", i)
			_, err := reconcile(w.api, controller.Request{Name: name})
			w.must(err)
			if v := (&volume{}); w.api.Get(v, "", name) == nil {
				w.agent(v)
			}
		}
	}
	var left []*volume
	w.must(w.api.List(&left, client.ListOptions{}))
	for _, v := range left {
		going := v.DeletionTimestamp != nil && client.ContainsFinalizer(v, Finalizer)
		if v.Status.Phase == released && v.Spec.ReclaimPolicy == remove && (v.DeletionTimestamp == nil || going && w.data[v.UID]) {
			w.t.Fatalf("%s: volume %s is still there: %+v", w.name, v.Name, v)
		}
	}
}
