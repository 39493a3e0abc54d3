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

// Standard are the kinds that need nothing but this node and the API. provisioned makes
// those that are provisioned on this node.
func Standard(provisioned localpath.Driver, written projected.Config) []driver.Driver {
	return []driver.Driver{emptydir.Driver{}, hostpath.Driver{}, provisioned, local.Driver{}, image.Driver{}, projected.New(written)}
}
