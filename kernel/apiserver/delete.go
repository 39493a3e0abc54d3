package apiserver

import (
	"net/http"

	"k8s.io/apiserver/pkg/warning"
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
	if res.Answer != nil {
		return s.writeAnswer(c, code, a, res.Answer)
	}
	return s.writeObject(c, code, a, res.Object)
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
	return s.writeList(c, a, deleted)
}
