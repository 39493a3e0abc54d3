package registry

// SetFreeSpace replaces what the disk says of itself.
func (r *Registry) SetFreeSpace(f func(string) (free, size uint64, err error)) { r.uploads.free = f }

// OpenUploads is how many there are.
func (r *Registry) OpenUploads() int {
	r.uploads.mu.Lock()
	defer r.uploads.mu.Unlock()
	return len(r.uploads.open)
}
