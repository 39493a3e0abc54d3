package handlers

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/resource"
)

func (s *Handlers) get(c *endpoint.Request) error {
	a, err := negotiation.Negotiate(c.R, s.Render.Offer(c))
	if err != nil {
		return err
	}
	var o metav1.GetOptions
	if err := decodeQuery(c.R.URL.Query(), &o); err != nil {
		return err
	}
	if c.Sub != nil && c.Sub.Style == resource.StyleProjection {
		obj, err := c.As(s.Registry).GetProjection(c.R.Context(), c.Target, o)
		if err != nil {
			return err
		}
		return s.Render.WriteAnswer(c, http.StatusOK, a, obj)
	}
	obj, err := c.As(s.Registry).Get(c.R.Context(), c.Target, o)
	if err != nil {
		return err
	}
	return s.Render.WriteObject(c, http.StatusOK, a, obj)
}

func (s *Handlers) listOrWatch(c *endpoint.Request, verb string) error {
	if c.Sub != nil { // a right to it is none to the objects
		return apierrors.NewMethodNotSupported(c.Target.Resource.GroupResource(), verb)
	}
	a, err := negotiation.Negotiate(c.R, s.Render.Offer(c))
	if err != nil {
		return err
	}
	o, err := listOptions(c)
	if err != nil {
		return err
	}
	if o.Watch || verb == "watch" {
		if !c.Allows("watch") {
			return apierrors.NewMethodNotSupported(c.Target.Resource.GroupResource(), "watch")
		}
		return s.Stream.Watch(c, a, o)
	}
	t := c.Target
	t.Name = ""
	l, err := c.As(s.Registry).List(c.R.Context(), t, o)
	if err != nil {
		return err
	}
	return s.Render.WriteList(c, a, l)
}
