package nodelifecycle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// pending are the pods of a node that tolerate its taints for a time that is running:
// their uids, by "namespace/name".
type pending map[string]string

func (p pending) add(pod *corev1.Pod) { p[pod.Namespace+"/"+pod.Name] = pod.UID }

// await notes which pods of a node wait for their eviction, and says of those that no
// longer do that it is off. gone are those that need not be told.
func (k *keeper) await(c client.Client, node string, next pending, gone []*corev1.Pod) {
	had := k.waiting[node]
	for _, p := range gone {
		if had[p.Namespace+"/"+p.Name] == p.UID {
			delete(had, p.Namespace+"/"+p.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		if uid := had[name]; next[name] != uid {
			p := &corev1.Pod{}
			p.Namespace, p.Name, _ = strings.Cut(name, "/")
			p.UID = uid
			c.Event(p, client.Note{Reason: "TaintManagerEviction", Message: fmt.Sprintf("Cancelling deletion of Pod %s", name)})
		}
	}
	if len(next) == 0 {
		delete(k.waiting, node)
		return
	}
	k.waiting[node] = next
}
