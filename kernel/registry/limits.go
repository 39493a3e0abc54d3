package registry

import "time"

// Limits on what comes from outside.
const (
	// MaxObjectBytes is the largest stored object, etcd's default request size.
	MaxObjectBytes = 3 << 19 // 1.5 MiB
	// MaxPatchBytes is the largest patch, upstream's limit of a request body.
	MaxPatchBytes = 3 << 20
	// maxPatchOperations is upstream's limit of a JSON patch.
	maxPatchOperations = 10000
	// maxPatchCopies bounds the bytes that "copy" operations of one JSON patch
	// may add up to; upstream's.
	maxPatchCopies = MaxPatchBytes
	// MaxValues is how many values (of maps, lists and messages) an object or
	// patch from outside may have: three bytes of an empty container become
	// two thousand.
	MaxValues = 1 << 18
	// maxPatching bounds what the results of all JSON patches take in memory
	// while they are worked on, as estimated; of small ones it takes no notice.
	// One alone may take it all.
	maxPatching   = 256 << 20
	smallPatching = 1 << 20
	// maxComparisons bounds the work of a strategic merge patch, a second or
	// two.
	maxComparisons = 1e8
	// maxShown is how much of a client's bytes an error shows.
	maxShown = 4 << 10

	// maxNameTries is how often upstream draws another name for generateName.
	maxNameTries = 8
	// maxConflicts is how often a write is prepared again after another writer
	// was faster. Upstream has no limit but the request's deadline; ours only
	// keeps a request without a deadline from going round for ever.
	maxConflicts = 256
	// maxCompanionTries is how often a companion is chosen again.
	maxCompanionTries = 16

	// waitForRevision is how long a read waits for a revision that the client
	// named and this server has not seen; upstream's.
	waitForRevision = 3 * time.Second
	// storeTimeout bounds a store read that several requests share.
	storeTimeout = 10 * time.Second

	// commitOps is the number of operations of one commit of a batch; small
	// enough that several are on their way at once.
	commitOps = 256
)
