package serve

import (
	"testing"

	authnode "github.com/pintle-io/pintle/kernel/auth/node"
	agent "github.com/pintle-io/pintle/node/volume/localpath"
	provisioner "github.com/pintle-io/pintle/plugins/controllers/localpath"
)

// The three who have a part in local volumes may not import each other, and mean the
// same.
func TestLocalVolumesAgree(t *testing.T) {
	for what, names := range map[string][]string{
		"provisioner": {provisioner.Provisioner, agent.Provisioner},
		"label":       {provisioner.NodeLabel, agent.NodeLabel, authnode.LocalVolumeLabel},
		"finalizer":   {provisioner.Finalizer, agent.Finalizer, authnode.LocalVolumeFinalizer},
		"annotation":  {provisioner.DirectoryAnnotation, agent.DirectoryAnnotation},
	} {
		for _, n := range names {
			if n != names[0] {
				t.Errorf("%s: %q", what, names)
			}
		}
	}
}
