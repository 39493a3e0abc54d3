;; Writes 250 MiB a million times over, with one call.
(module
  (import "pintle" "yield" (func $yield))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $t 1 1000000 funcref)
  (func (export "pintle_abi") (result i32) (i32.const 131072))
  (func (export "pintle_scratch") (param i32) (result i32) (i32.const 16))
  (func (export "pintle_region") (param i32) (result i32) (i32.const 0))
  (func (export "pintle_call") (param i32 i32) (result i64)
    (local $i i32)
    (drop (memory.grow (i32.const 4000)))
    (loop $fill
      (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 3))) (i32.const 0))
      (i32.store (i32.add (i32.const 65540) (i32.shl (local.get $i) (i32.const 3))) (i32.const 262000000))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $fill (i32.lt_u (local.get $i) (i32.const 1000000))))
    (loop $l (drop (call $write (i32.const 1) (i32.const 65536) (i32.const 1000000) (i32.const 16))) (br $l))
    (i64.const 0)))
