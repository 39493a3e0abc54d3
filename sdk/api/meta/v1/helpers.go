package v1

// GetObjectMeta is promoted to every object that embeds ObjectMeta.
func (m *ObjectMeta) GetObjectMeta() *ObjectMeta { return m }

// Accessor is any object with metadata.
type Accessor interface{ GetObjectMeta() *ObjectMeta }

// ControllerOf is the owner that controls the object; nil when there is none.
func ControllerOf(o Accessor) *OwnerReference {
	refs := o.GetObjectMeta().OwnerReferences
	for i := range refs {
		if refs[i].Controller != nil && *refs[i].Controller {
			return &refs[i]
		}
	}
	return nil
}

// IsControlledBy tells whether owner controls the object.
func IsControlledBy(o, owner Accessor) bool {
	ref := ControllerOf(o)
	return ref != nil && ref.UID == owner.GetObjectMeta().UID
}

// NewControllerRef makes the reference of an object to its controlling owner,
// which blocks the owner's deletion in the foreground.
func NewControllerRef(owner Accessor, apiVersion, kind string) OwnerReference {
	yes := true
	m := owner.GetObjectMeta()
	return OwnerReference{APIVersion: apiVersion, Kind: kind, Name: m.Name, UID: m.UID, Controller: &yes, BlockOwnerDeletion: &yes}
}
