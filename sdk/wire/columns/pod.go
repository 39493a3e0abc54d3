package columns

// Pod is what a [Table] is told about a pod that is assigned to a node: bound
// there, or decided about. Whoever made it must not change it between
// [Table.Assign] and [Table.Unassign].
type Pod struct {
	Namespace string
	Labels    map[string]string // shared, and not changed
	Usage     Usage
	// Affinity gives the record (sdk/wire/record) of the podAffinity and
	// podAntiAffinity of spec.affinity, all fields of them; nil: it has neither.
	// A function, because few plugins ask.
	Affinity func() string
	Priority int32
	// Started is the pod's status.startTime in seconds since 1970; 0: not yet.
	Started uint32
	// Terminating: it has a deletion timestamp. NeverPreempts: its
	// preemptionPolicy is Never.
	Terminating, NeverPreempts bool

	slot uint32 // its row in the columns over pods plus one; 0: none
}

// Bits of the PodFlags column.
const (
	PodTerminating uint32 = 1 << iota
	PodNeverPreempts
)

// flags are the constants above that hold for the pod.
func (p *Pod) flags() (f uint32) {
	if p.Terminating {
		f |= PodTerminating
	}
	if p.NeverPreempts {
		f |= PodNeverPreempts
	}
	return f
}
