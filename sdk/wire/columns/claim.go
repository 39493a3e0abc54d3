package columns

// Claim names a PersistentVolumeClaim that a pod's volume is made of.
type Claim struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// PodName and PodUID are set when the claim is made for the pod alone (a generic
	// ephemeral volume): it must be controlled by that pod.
	PodName string `json:"podName,omitempty"`
	PodUID  string `json:"podUID,omitempty"`
}
