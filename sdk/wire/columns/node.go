package columns

// Node is what a [Table] is told about a node.
type Node struct {
	Name          string
	Labels        map[string]string
	Taints        []Taint
	Allocatable   Resources
	Pods          int64 // allocatable number of pods
	Images        []Image
	Unschedulable bool
	Ready         bool
}

// flags are the Flag constants that hold for the node.
func (n *Node) flags() (f uint32) {
	if n.Unschedulable {
		f |= FlagUnschedulable
	}
	if n.Ready {
		f |= FlagReady
	}
	return f
}

// Taint is a node's taint.
type Taint struct{ Key, Value, Effect string }

// Image is an image that a node has, under all its names.
type Image struct {
	Names []string
	Size  int64 // bytes
}

// Resources is an amount of each resource. CPU is in thousandths of a core,
// the others in bytes or pieces.
type Resources struct {
	MilliCPU  int64    `json:"milliCPU,omitempty"`
	Memory    int64    `json:"memory,omitempty"`
	Ephemeral int64    `json:"ephemeralStorage,omitempty"`
	Extended  []Amount `json:"extended,omitempty"` // without zeros
}

// Amount is some of an extended resource.
type Amount struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// Of returns the amount of an extended resource.
func (r *Resources) Of(name string) int64 {
	for i := range r.Extended {
		if r.Extended[i].Name == name {
			return r.Extended[i].Value
		}
	}
	return 0
}

// Usage is what a pod takes from its node.
type Usage struct {
	Requests Resources
	// NonZero counts a container without a request with a default.
	NonZeroCPU, NonZeroMemory int64
	// Ports are the host ports; those of a node are sorted, and a port that
	// several of its pods have is there several times.
	Ports []HostPort
}
