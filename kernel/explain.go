package kernel

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
)

// explainPod answers the scheduler's last verdict about a pod, as JSON:
// GET /explain/pods?namespace=default&name=web-1.
func (l *leader) explainPod(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	namespace, name := q.Get("namespace"), q.Get("name")
	if namespace == "" || name == "" {
		http.Error(w, "the query needs namespace and name", http.StatusBadRequest)
		return
	}
	t := l.term()
	if t == nil {
		http.Error(w, "this server does not lead: ask "+cmp.Or(l.elector.Holder(), "again in a moment"), http.StatusServiceUnavailable)
		return
	}
	v, ok := t.scheduler.Explain(namespace, name)
	if !ok {
		http.Error(w, fmt.Sprintf("the scheduler remembers no verdict about pod %s/%s", namespace, name), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The client is gone when this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}
