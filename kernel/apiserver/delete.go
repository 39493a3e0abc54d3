package apiserver

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/warning"

	"github.com/pintle-io/pintle/kernel/registry"
)

func (s *Server) delete(c *call) error {
	a, err := negotiate(c.r, s.offer(c))
	if err != nil {
		return err
	}
	o, err := s.deleteOptions(c)
	if err != nil {
		return err
	}
	res, err := s.Registry.Delete(c.r.Context(), c.target, o)
	if err != nil {
		return err
	}
	for _, text := range res.Warnings {
		warning.AddWarning(c.r.Context(), "", text)
	}
	code := http.StatusOK
	//lint:ignore SA1019 old clients still send it
	if orphan := o.OrphanDependents; res.Deleting && orphan != nil && !*orphan {
		code = http.StatusAccepted
	}
	switch {
	case res.Answer != nil:
		return s.writeAnswer(c, code, a, res.Answer)
	case res.Deleting && res.Object != nil:
		return s.writeObject(c, code, a, res.Object)
	}
	return s.writeAnswer(c, code, a, &metav1.Status{
		Status: metav1.StatusSuccess, Code: int32(code), Details: deletedDetails(c, res),
	})
}

// deletedDetails name what was deleted, as upstream does.
func deletedDetails(c *call, res *registry.Result) *metav1.StatusDetails {
	d := &metav1.StatusDetails{Name: c.target.Name, Group: c.def.Group, Kind: c.def.Resource}
	if res.Object != nil {
		if m, err := accessor(res.Object.Obj); err == nil {
			d.UID = m.GetUID()
		}
	}
	return d
}

func (s *Server) deleteCollection(c *call) error {
	a, err := negotiate(c.r, s.offer(c))
	if err != nil {
		return err
	}
	list, err := s.listOptions(c)
	if err != nil {
		return err
	}
	o, err := s.deleteOptions(c)
	if err != nil {
		return err
	}
	deleted, err := s.Registry.DeleteCollection(c.r.Context(), c.target, o, list)
	if err != nil {
		return err
	}
	return s.writeList(c, a, &registry.List{Items: deleted})
}
