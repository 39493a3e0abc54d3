// Package keystore keeps the cluster's keys in the store, so that a server needs
// no more than a token to have them: the authorities, and the key of
// service-account tokens. It owns what is below [Prefix], which is no object of
// the API and which nothing else reads or writes.
//
// There are two sorts of entries. The identity names the public keys of the
// cluster. The first server writes it, on condition that there is none; whoever
// comes later compares it with what he has, so that there are never two
// authorities for one cluster. Where there are objects already, only who has all
// keys writes it. A server that runs ends when it names other keys. A sealed entry is a copy of the private keys for
// one token: AES-256-GCM under a key that HKDF-SHA256 derives from the token's
// secret, 32 random bytes. Whoever reads the store, or an old copy of it, and has
// no token, learns nothing of the keys.
//
// A directory of keys is complete, or it is completed from the store; what is
// written there is staged in one file before, so that a crash at any moment leaves
// what the next start goes on with. See RATIONALE.md, "Why does a server keep its
// keys in files and in the store?".
//
// A Keystore is safe for concurrent use after [Open]. Begin there.
package keystore
