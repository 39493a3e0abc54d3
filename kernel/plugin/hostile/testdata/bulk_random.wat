;; Asks for 250 MiB of random numbers, for ever.
(module
  (import "pintle" "yield" (func $yield))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $t 1 1000000 funcref)
  (func (export "pintle_abi") (result i32) (i32.const 131072))
  (func (export "pintle_scratch") (param i32) (result i32) (i32.const 16))
  (func (export "pintle_region") (param i32) (result i32) (i32.const 0))
  (func (export "pintle_call") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 4000)))
    (loop $l (drop (call $random (i32.const 0) (i32.const 262000000))) (br $l))
    (i64.const 0)))
