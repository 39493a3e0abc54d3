package api

// groupList is what is read of an APIGroupDiscoveryList.
type groupList struct {
	Items []struct {
		Metadata struct{ Name string }
		Versions []struct {
			Version   string
			Resources []resource
		}
	}
}

type kind struct{ Group, Version, Kind string }

type resource struct {
	Resource     string
	ResponseKind kind
	Scope        string
	Verbs        []string
	Subresources []struct {
		Subresource  string
		ResponseKind kind
		Verbs        []string
	}
}

func (l groupList) resources() (out []*Resource) {
	for _, g := range l.Items {
		for _, v := range g.Versions {
			for _, r := range v.Resources {
				base := Resource{Group: g.Metadata.Name, Version: v.Version, Name: r.Resource, Namespaced: r.Scope == "Namespaced", Verbs: r.Verbs}
				base.setKind(r.ResponseKind)
				if len(r.Verbs) > 0 { // without, it is only where subresources are
					out = append(out, &base)
				}
				for _, s := range r.Subresources {
					sub := base
					sub.Name, sub.Verbs = r.Resource+"/"+s.Subresource, s.Verbs
					sub.setKind(s.ResponseKind)
					out = append(out, &sub)
				}
			}
		}
	}
	return out
}

// setKind takes the kind; an empty group and version are the resource's own.
func (r *Resource) setKind(k kind) {
	r.Kind, r.KindGroup, r.KindVersion = k.Kind, k.Group, k.Version
	if k.Version == "" {
		r.KindGroup, r.KindVersion = r.Group, r.Version
	}
}
