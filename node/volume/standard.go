package volume

import (
	"github.com/pintle-io/pintle/node/volume/driver"
	"github.com/pintle-io/pintle/node/volume/emptydir"
	"github.com/pintle-io/pintle/node/volume/hostpath"
	"github.com/pintle-io/pintle/node/volume/image"
	"github.com/pintle-io/pintle/node/volume/local"
	"github.com/pintle-io/pintle/node/volume/localpath"
	"github.com/pintle-io/pintle/node/volume/projected"
)

// Standard are the kinds that need nothing but this node and the API. Volumes that are
// provisioned on this node are in directories of localVolumes, an absolute path.
func Standard(localVolumes string, written projected.Config) []driver.Driver {
	return []driver.Driver{emptydir.Driver{}, hostpath.Driver{}, localpath.Driver{Root: localVolumes}, local.Driver{}, image.Driver{}, projected.New(written)}
}
