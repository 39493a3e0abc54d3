package registry

import "time"

// Limits on what comes from outside.
const (
	// MaxObjectBytes is the largest stored object, etcd's default request size.
	MaxObjectBytes = 3 << 19 // 1.5 MiB
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
