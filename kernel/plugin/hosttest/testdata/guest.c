// A plugin in C, written from docs/abi.md alone: a filter of nodes that would
// leave too little memory free, and an admission rule that keeps everybody but
// the group "ops" from creating anything in the namespace "prod".
//
//   clang --target=wasm32 -O2 -nostdlib -ffreestanding -mbulk-memory -Wl,--no-entry -o guest.wasm guest.c
#include <stdint.h>

#define EXPORT(f) __attribute__((export_name(f)))
__attribute__((import_module("pintle"), import_name("yield"))) void yield(void); // has the module metered

enum { HANDSHAKE = 1, OPEN, CLOSE, VALIDATE = 5, DESCRIBE = 64, PROFILE, SNAPSHOT, PREFILTER, CYCLE };
enum { FILTER = 1 << 1, RULE = 1 << 8 };                         // points
enum { ALLOCATABLE_MEMORY = 2, REQUESTED_MEMORY = 6, FEASIBLE = 128, REASON, SCORE };
enum { PROTOCOL = 5, UNSUPPORTED = 42 };                         // kinds of errors

static uint8_t out[4096], *scratch, *region;                     // the answer; what the server writes to
static uint32_t used, scratch_size, region_size, told;           // told: the server knows reason 1
static const uint8_t *in, *end;                                  // what is left of the request

// Memory is taken in pages of 64 KiB and kept.
static uint8_t *room(uint8_t *had, uint32_t *size, uint32_t n) {
  if (n <= *size) return had;
  uint32_t pages = (n + 65535) / 65536;
  *size = pages * 65536;
  return (uint8_t *)(__builtin_wasm_memory_grow(0, pages) * 65536);
}

static void byte(uint8_t b) { if (used < sizeof out) out[used++] = b; }
static void uint(uint64_t v) { for (; v > 127; v >>= 7) byte(v | 128); byte(v); }
static void str(const char *s) {
  uint32_t n = 0;
  while (s[n]) n++;
  uint(n);
  for (uint32_t i = 0; i < n; i++) byte(s[i]);
}
static void list(const char *s) { uint(s != 0); if (s) str(s); } // of one string or none
static void fail(uint8_t kind, const char *text) { used = 0; byte(1); byte(kind); str(text); }

static uint64_t get(void) {
  uint64_t v = 0;
  for (int shift = 0; in < end && shift < 64; shift += 7) {
    v |= (uint64_t)(*in & 127) << shift;
    if (*in++ < 128) break;
  }
  return v;
}
static int is(const char *want) { // reads a string
  uint64_t n = get(), i = 0;
  if (n > (uint64_t)(end - in)) n = end - in;
  while (i < n && want[i] && in[i] == (uint8_t)want[i]) i++;
  in += n;
  return i == n && !want[i];
}

static void manifest(void) {
  str("memory-guard"); str("in C"); uint(2); uint(0); // name, version, ABI
  uint(FILTER | RULE); byte(0); uint(0);              // points, scope of the node, workers
  uint(1); list("CREATE"); list("*"); list("prod"); list(0); list(0); // one rule: operations, resources, namespaces …
  uint(0); str(""); uint(0);                          // watches; fields of the objects: it looks at none; what it implements
}

static void validate(void) {
  for (int i = 0; i < 7; i++) is(""); // operation, resource, subresource, kind, namespace, name, user
  int ops = 0;
  for (uint64_t n = get(); n > 0 && in < end; n--) ops |= is("ops");
  byte(!ops); str(ops ? "" : "only the group ops creates objects here");
  uint(0); uint(0); byte(0); uint(0); // warnings, changes, worded as the API's own, objects to wait for
}

static void *column(uint32_t id) {
  const uint32_t *word = (const uint32_t *)region;
  for (uint32_t i = 0; region && i < word[4]; i++)
    if (word[5 + 5 * i] == id && word[7 + 5 * i] == 0) return region + word[8 + 5 * i];
  return 0;
}

static void cycle(void) {
  const int64_t *has = column(ALLOCATABLE_MEMORY), *asked = column(REQUESTED_MEMORY);
  uint64_t *fits = column(FEASIBLE);
  int64_t *score = column(SCORE);
  uint32_t *reason = column(REASON), at = 0, feasible = 0, capacity = region ? ((uint32_t *)region)[3] : 0;
  if (!has || !asked || !fits || !reason || !score) return fail(PROTOCOL, "a column is missing");
  uint64_t mine = get() == 0, masked = get(), refused = 0; // mine: the scope that was said
  for (uint64_t runs = get(); runs > 0; runs--) {
    uint64_t start = get(), count = get();
    if (start > capacity || count > capacity - start || count > capacity - at) return fail(PROTOCOL, "rows beyond the columns");
    for (uint64_t row = start; row < start + count; row++, at++) {
      uint64_t bit = 1ull << (at & 63), was = !masked || (fits[at >> 6] & bit);
      int no = mine && was && asked[row] / 9 > has[row] / 10; // more than nine tenths are asked for
      reason[at] = no, score[at] = 0, refused |= no, feasible += was && !no;
      fits[at >> 6] = was && !no ? fits[at >> 6] | bit : fits[at >> 6] & ~bit;
    }
  }
  uint(0); uint(feasible);
  uint(refused && !told);                              // reasons that are new: number 1, of member 0
  if (refused && !told) { uint(0); byte(0); list("node(s) would keep too little memory free"); told = 1; }
  uint(0);                                             // columns that are missing
}

EXPORT("pintle_abi") uint32_t abi(void) { return 2 << 16; }
EXPORT("pintle_scratch") uint8_t *get_scratch(uint32_t n) { return scratch = room(scratch, &scratch_size, n); }
EXPORT("pintle_region") uint8_t *get_region(uint32_t n) { return region = room(region, &region_size, n); }

EXPORT("pintle_call") uint64_t call(uint32_t op, uint32_t n) {
  yield();
  in = scratch, end = scratch + n, used = 0;
  byte(0);
  switch (op) {
  case HANDSHAKE: uint(1); manifest(); break;
  case OPEN: if (is("memory-guard")) manifest(); else fail(UNSUPPORTED, "this module holds memory-guard"); break;
  case VALIDATE: validate(); break;
  case DESCRIBE: // one member: name, filters, scores, scope, scaling, normalizes, column, weight, events
    uint(1); str("memory-guard"); byte(1); byte(0); byte(0); byte(0); byte(0); uint(0); uint(0); uint(0);
    uint(2); uint(ALLOCATABLE_MEMORY); str(""); str("node.allocatable.memory"); uint(REQUESTED_MEMORY); str(""); str("node.requested.memory");
    break;
  case PREFILTER: told = 0; for (int i = 0; i < 7; i++) byte(0); break; // reads, rejected by, unresolvable, reasons, nodes, counts, missing
  case CYCLE: cycle(); break;
  case PROFILE: case SNAPSHOT: case CLOSE: break;
  default: fail(UNSUPPORTED, "memory-guard does not serve this");
  }
  return (uint64_t)(uintptr_t)out << 32 | used;
}
