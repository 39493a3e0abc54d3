// A plugin in C, written from docs/abi.md alone: a filter of nodes that the pod
// would leave too little memory free, and an admission rule that keeps everybody
// but the group "ops" from creating anything in the namespace "prod" that has no
// label "team", and everybody from creating what has an image without a registry.
// A ConfigMap memory-guard there with teams: optional ends the first of these.
//
// record.h is the reader of objects that docs/abi.md shows.
//
//   clang --target=wasm32 -O2 -nostdlib -ffreestanding -mbulk-memory -Wl,--no-entry -o guest.wasm guest.c
#include "record.h"

#ifndef MINOR
#define MINOR 1 // of the ABI; the tests build one that is behind and one that is ahead
#endif

#define EXPORT(f) __attribute__((export_name(f)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
IMPORT("pintle", "yield") void yield(void); // has the module metered
IMPORT("pintle", "call") uint32_t ask_server(uint32_t op, const void *request, uint32_t n); // the length of the response
IMPORT("pintle", "take") void take_response(void *to, uint32_t n);
IMPORT("pintle_vec", "vec_short") void vec_short(uint64_t *mask, const int64_t *alloc, const int64_t *used, uint32_t n, int64_t want);
IMPORT("pintle_vec", "vec_mark") void vec_mark(uint32_t *list, const uint64_t *mask, uint32_t n, uint32_t number);

enum { HANDSHAKE = 1, OPEN, CLOSE, VALIDATE = 5, DESCRIBE = 64, PROFILE, SNAPSHOT, PREFILTER, CYCLE };
enum { FILTER = 1 << 1, RULE = 1 << 8 };                         // points
enum { ALLOCATABLE_MEMORY = 2, REQUESTED_MEMORY = 6, FEASIBLE = 128, REASON, SCORE };
enum { PROTOCOL = 5, ERROR, NOT_FOUND = 32, UNSUPPORTED = 42 };  // kinds of errors
enum { GET = 1 };                                                // what the server is asked
enum { RESERVE = 100, CHUNK = 4096 };                            // bytes that a node keeps free; rows of one vector operation

static uint8_t out[4096], *scratch, *region;                     // the answer; what the server writes to
static uint32_t used, scratch_size, region_size, told;           // told: the server knows reason 1
static const uint8_t *in, *end;                                  // what is left of the request
static int64_t wanted;                                           // memory that the pod asks for

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
static rec body(void) { // reads bytes: an object
  uint64_t n = get();
  rec r = { in, in + (n > (uint64_t)(end - in) ? (uint64_t)(end - in) : n) };
  in = r.end;
  return r;
}
static int same(rec r, const char *want) {
  while (r.p < r.end && *want && *r.p == (uint8_t)*want) r.p++, want++;
  return r.p == r.end && !*want;
}
static int is(const char *want) { // reads a string
  uint64_t n = get(), i = 0;
  if (n > (uint64_t)(end - in)) n = end - in;
  while (i < n && want[i] && in[i] == (uint8_t)want[i]) i++;
  in += n;
  return i == n && !want[i];
}

// sized writes the size of what f writes before it, as a varint of two bytes.
static void sized(void (*f)(void)) {
  uint32_t at = used += 2;
  f();
  out[at - 2] = (used - at) | 128, out[at - 1] = (used - at) >> 7;
}

// later is a field that only a later minor version knows.
static void later(void) { if (MINOR > 1) str("a field that came later"); }

static void manifest(void) {
  str("memory-guard"); str("in C"); uint(2); uint(MINOR); // name, version, ABI
  uint(FILTER | RULE); byte(0); uint(0);              // points, scope of the node, workers
  uint(1); list("CREATE"); list("*"); list("prod"); list(0); list(0); // one rule: operations, resources, namespaces …
  uint(0); str("metadata(labels(team)),spec(containers(image))"); // watches; what the rule reads of objects
  uint(0);                                            // what it implements
  if (MINOR > 0) { uint(0); uint(0); }                // of the rule, since 2.1: what must be given, labels of the namespace
  later();
}

static void member(void) { // name, filters, scores, scope, scaling, normalizes, column, weight, events, columns
  str("memory-guard"); byte(1); byte(0); byte(0); byte(0); byte(0); uint(0); uint(0); uint(0);
  uint(2); uint(ALLOCATABLE_MEMORY); str(""); str("node.allocatable.memory"); uint(REQUESTED_MEMORY); str(""); str("node.requested.memory");
  if (MINOR > 3) { byte(0); byte(0); byte(0); uint(0); } // since 2.4: reserves, unreserves, prebinds, objects that it reads
  later();
}

// inside is what the i-th declared field of a struct holds.
static rec inside(rec s, int i, uint8_t *tag, int64_t *number) {
  rec at = field(s, i);
  return next(&at, tag, number);
}

// bare tells whether a container has an image without a registry.
static int bare(rec containers) { // list of struct(image)
  uint8_t tag; int64_t number;
  for (uint32_t n = word(&containers); n > 0; n--) {
    rec image = inside(next(&containers, &tag, &number), 0, &tag, &number);
    while (image.p < image.end && *image.p != '/') image.p++;
    if (tag == STRING && image.p == image.end) return 1;
  }
  return 0;
}

// optional asks for the ConfigMap: 1 if it says that teams are optional, 0 if it
// does not or is not there, -1 if the server cannot say.
static int optional(void) {
  static uint8_t said[4096];
  uint32_t at = used;                 // behind what is written of the answer
  str("v1/configmaps"); str("prod"); str("memory-guard"); str("data(teams)");
  uint32_t n = ask_server(GET, out + at, used - at);
  used = at;
  if (n < 2 || n > sizeof said) return -1;
  take_response(said, n);
  if (said[0]) return said[1] == NOT_FOUND ? 0 : -1; // an error: its kind, and a text
  uint8_t tag; int64_t number;
  rec object = { said + 1, said + n }, fields = next(&object, &tag, &number);
  rec teams = inside(inside(fields, 0, &tag, &number), 0, &tag, &number);
  return tag == STRING && same(teams, "optional");
}

static void validate(void) {
  for (int i = 0; i < 7; i++) is(""); // operation, resource, subresource, kind, namespace, name, user
  int ops = 0;
  for (uint64_t n = get(); n > 0 && in < end; n--) ops |= is("ops");
  in++;                               // dryRun
  uint8_t tag; int64_t number;
  rec object = body(), fields = next(&object, &tag, &number);
  rec labels = inside(inside(fields, 0, &tag, &number), 0, &tag, &number);
  inside(labels, 0, &tag, &number);
  const char *why = "";
  if (!ops && tag != STRING) {
    int may = optional();
    if (may < 0) return fail(ERROR, "ConfigMap prod/memory-guard cannot be read");
    if (!may) why = "only the group ops creates objects here without a team";
  }
  rec containers = inside(inside(fields, 1, &tag, &number), 0, &tag, &number);
  if (tag == LIST && bare(containers)) why = "an image has no registry";
  byte(*why != 0); str(why);
  uint(0); uint(0); byte(0); uint(0); // warnings, changes, worded as the API's own, objects to wait for
}

// prefilter keeps what the pod asks for of what was declared: effective(requests(memory)).
static void prefilter(void) {
  uint8_t tag; int64_t number = 0;
  rec pod = { in, end }, fields = next(&pod, &tag, &number);
  inside(inside(inside(fields, 0, &tag, &number), 0, &tag, &number), 0, &tag, &number);
  wanted = tag == INT ? number : 0;
  told = 0;
  for (int i = 0; i < 8; i++) byte(0); // reads, rejected by, unresolvable, reasons, nodes, counts, missing columns and fields
  if (MINOR > 3) uint(0);              // since 2.4: who reserves
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
  static uint64_t low[CHUNK / 64];                         // rows that have too little memory
  for (uint64_t runs = get(); runs > 0; runs--) {
    uint64_t start = get(), count = get();
    if (start > capacity || count > capacity - start || count > capacity - at) return fail(PROTOCOL, "rows beyond the columns");
    for (uint64_t row = start; row < start + count; row += CHUNK) {
      uint32_t n = start + count - row < CHUNK ? start + count - row : CHUNK;
      vec_short(low, has + row, asked + row, n, wanted + RESERVE);
      vec_mark(reason + at, low, n, 1);
      for (uint32_t i = 0; i < n; i++, at++) { // answers follow one another, wherever the rows are
        uint64_t bit = 1ull << (at & 63), was = !masked || (fits[at >> 6] & bit), no = mine && was && (low[i >> 6] >> (i & 63) & 1);
        score[at] = 0, refused |= no, feasible += was && !no;
        fits[at >> 6] = was && !no ? fits[at >> 6] | bit : fits[at >> 6] & ~bit;
      }
    }
  }
  uint(0); uint(feasible);
  uint(refused && !told);                              // reasons that are new: number 1, of member 0
  if (refused && !told) { uint(0); byte(0); list("node(s) would keep too little memory free"); told = 1; }
  uint(0); byte(0);                                    // columns and fields that are missing
}

EXPORT("pintle_abi") uint32_t abi(void) { return 2 << 16 | MINOR; }
EXPORT("pintle_scratch") uint8_t *get_scratch(uint32_t n) { return scratch = room(scratch, &scratch_size, n); }
EXPORT("pintle_region") uint8_t *get_region(uint32_t n) { return region = room(region, &region_size, n); }

EXPORT("pintle_call") uint64_t call(uint32_t op, uint32_t n) {
  yield();
  in = scratch, end = scratch + n, used = 0;
  byte(0);
  switch (op) {
  case HANDSHAKE: uint(1); sized(manifest); break;
  case OPEN: if (is("memory-guard")) manifest(); else fail(UNSUPPORTED, "this module holds memory-guard"); break;
  case VALIDATE: validate(); if (MINOR > 1 && out[0] == 0) { uint(0); uint(0); } break; // no findings, which may be left out at the end
  case DESCRIBE: uint(1); sized(member); break;
  case PROFILE: byte(1); str("effective(requests(memory))"); break; // what is read of pods
  case PREFILTER: prefilter(); break;
  case CYCLE: cycle(); break;
  case SNAPSHOT: case CLOSE: break;
  default: fail(UNSUPPORTED, "memory-guard does not serve this");
  }
  if (out[0] == 0) later(); // what follows an answer is not read
  return (uint64_t)(uintptr_t)out << 32 | used;
}
