package flow

import "sync"

// Budget shares an amount among tenants, of whom none has more than its share
// at a time.
type Budget struct {
	total, share int64

	mu   sync.Mutex
	used int64            // guarded by mu
	by   map[string]int64 // what each tenant has, no zeros; guarded by mu
}

// NewBudget makes a budget of a total of which each tenant may have share.
func NewBudget(total, share int64) *Budget {
	return &Budget{total: total, share: share, by: map[string]int64{}}
}

// Take gives n of the budget to a tenant, all or nothing.
func (b *Budget) Take(tenant string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.total || b.by[tenant]+n > b.share {
		return false
	}
	b.used += n
	b.by[tenant] += n
	return true
}

// Give returns n that the tenant took.
func (b *Budget) Give(tenant string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.by[tenant] -= n; b.by[tenant] <= 0 {
		delete(b.by, tenant)
	}
}

// Used is what all tenants have together.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
