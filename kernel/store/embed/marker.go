package embed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrMissing: a cluster was kept in the data directory, and is gone.
var ErrMissing = errors.New("the data of the cluster are missing")

const markerText = `The directory %s beside this file holds the objects of a cluster. If they are
missing, the server does not begin an empty cluster in their place, for that
would end everything that runs. To begin an empty cluster, remove this file.
`

// mayBegin refuses to begin a new cluster where there was one: what is missing
// may be on a volume that is not mounted.
func (c *Config) mayBegin() error {
	if c.Marker == "" {
		return nil
	}
	if _, err := os.Stat(c.Marker); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s is not there or empty, and %s says that it was. Mount it or put it back, restore a snapshot with `pintle store restore FILE`, or remove %s to begin an empty cluster",
		ErrMissing, memberDir(c.Dir), c.Marker, c.Marker)
}

// mark records that the directory holds a cluster from now on.
func (c *Config) mark() error {
	if c.Marker == "" {
		return nil
	}
	if _, err := os.Stat(c.Marker); err == nil {
		return nil
	}
	f, err := os.OpenFile(c.Marker, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, markerText, filepath.Base(c.Dir))
	return errors.Join(err, f.Sync(), f.Close())
}
