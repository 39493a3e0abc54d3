package handlers

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/warning"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/resource"
)

func (s *Handlers) delete(c *endpoint.Request) error {
	a, err := negotiation.Negotiate(c.R, s.Render.Offer(c))
	if err != nil {
		return err
	}
	o, err := deleteOptions(c)
	if err != nil {
		return err
	}
	warnOfDependents(c, &o)
	res, err := c.As(s.Registry).Delete(c.R.Context(), c.Target, o)
	if err != nil {
		return err
	}
	for _, text := range res.Warnings {
		warning.AddWarning(c.R.Context(), "", text)
	}
	code := http.StatusOK
	//lint:ignore SA1019 old clients still send it
	if orphan := o.OrphanDependents; res.Deleting && orphan != nil && !*orphan {
		code = http.StatusAccepted
	}
	if res.Answer != nil {
		return s.Render.WriteAnswer(c, code, a, res.Answer)
	}
	return s.Render.WriteObject(c, code, a, res.Object)
}

func (s *Handlers) deleteCollection(c *endpoint.Request) error {
	a, err := negotiation.Negotiate(c.R, s.Render.Offer(c))
	if err != nil {
		return err
	}
	list, err := listOptions(c)
	if err != nil {
		return err
	}
	o, err := deleteOptions(c)
	if err != nil {
		return err
	}
	warnOfDependents(c, &o)
	deleted, err := c.As(s.Registry).DeleteCollection(c.R.Context(), c.Target, o, list)
	if err != nil {
		return err
	}
	err = s.Render.WriteList(c, a, deleted)
	if !resource.IsOutsiders(err) {
		return err
	}
	// They are gone, whatever a conversion webhook says to showing them: an error would
	// be taken for a deletion that failed.
	warning.AddWarning(c.R.Context(), "", "what was deleted cannot be shown: "+err.Error())
	return s.Render.WriteAnswer(c, http.StatusOK, a, &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{Group: c.Def.Group, Kind: c.Def.Resource}})
}

// warnOfDependents tells a client that has no wish about dependents what its kind
// does with them, where that surprises. As upstream's, it is told whatever comes of
// the deletion.
func warnOfDependents(c *endpoint.Request, o *metav1.DeleteOptions) {
	//lint:ignore SA1019 old clients still send it
	if o.PropagationPolicy == nil && o.OrphanDependents == nil {
		warning.AddWarning(c.R.Context(), "", c.Def.Strategy.DeletionWarning)
	}
}
