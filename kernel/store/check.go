package store

import "fmt"

// CheckOps tells whether ops are well formed: some and at most MaxOps, every
// key non-empty and named once, every Expect a revision, Any or Absent, every Check
// without a value. Every implementation refuses what it refuses.
func CheckOps(ops []Op) error {
	if len(ops) == 0 {
		return fmt.Errorf("commit of no operations")
	}
	if len(ops) > MaxOps {
		return fmt.Errorf("%d operations, at most %d: %w", len(ops), MaxOps, ErrTooLarge)
	}
	for i := range ops {
		if ops[i].Key == "" {
			return fmt.Errorf("operation %d has no key", i)
		}
		if ops[i].Expect < Any {
			return fmt.Errorf("%s: expected revision %d", ops[i].Key, ops[i].Expect)
		}
		if ops[i].Check && (ops[i].Expect == Any || ops[i].Value != nil) {
			return fmt.Errorf("%s: a check needs a revision to expect, and has no value", ops[i].Key)
		}
	}
	if len(ops) == 1 {
		return nil
	}
	seen := make(map[string]struct{}, len(ops))
	for i := range ops {
		if _, dup := seen[ops[i].Key]; dup {
			return fmt.Errorf("key %s is named twice in one commit", ops[i].Key)
		}
		seen[ops[i].Key] = struct{}{}
	}
	return nil
}
