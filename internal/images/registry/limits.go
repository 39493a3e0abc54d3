package registry

import (
	"cmp"
	"time"
)

// Limits bound what pushes may take. The zero value of a field is its default.
type Limits struct {
	Manifest       int64         // bytes of one manifest
	Manifests      int64         // bytes of all manifests, which are kept in memory
	References     int           // tags and digests of all repositories
	Blob           int64         // bytes of one blob
	Uploads        int           // blobs that are being pushed at a time
	UploadIdle     time.Duration // how long an upload waits for its next request
	UploadLifetime time.Duration // how long it may take in all
	Stall          time.Duration // how long a request may send nothing
	Checks         int           // questions at a time who may push
}

// DefaultLimits suit a registry that shares disk and memory with a control
// plane.
func DefaultLimits() Limits {
	return Limits{
		Manifest: 4 << 20, Manifests: 64 << 20, References: 20_000, Blob: 4 << 30,
		Uploads: 64, UploadIdle: 10 * time.Minute, UploadLifetime: 2 * time.Hour, Stall: time.Minute, Checks: 8,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		Manifest: cmp.Or(l.Manifest, d.Manifest), Manifests: cmp.Or(l.Manifests, d.Manifests), References: cmp.Or(l.References, d.References),
		Blob: cmp.Or(l.Blob, d.Blob), Uploads: cmp.Or(l.Uploads, d.Uploads), UploadIdle: cmp.Or(l.UploadIdle, d.UploadIdle),
		UploadLifetime: cmp.Or(l.UploadLifetime, d.UploadLifetime), Stall: cmp.Or(l.Stall, d.Stall), Checks: cmp.Or(l.Checks, d.Checks),
	}
}

// What pushes leave free of the disk, for the store of the control plane, which
// stops when there is nothing left: a twentieth of it, within these bounds.
const (
	minReserve = 256 << 20
	maxReserve = 5 << 30
)

func reserve(size uint64) uint64 { return min(max(size/20, minReserve), maxReserve) }
