;; Compares a million rows with a million values: half a minute of the host's own work.
(module
  (import "pintle" "yield" (func $yield))
  (import "pintle_vec" "vec_in" (func $in (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (table $t 1 1000000 funcref)
  (func (export "pintle_abi") (result i32) (i32.const 131072))
  (func (export "pintle_scratch") (param i32) (result i32) (i32.const 16))
  (func (export "pintle_region") (param i32) (result i32) (i32.const 0))
  (func (export "pintle_call") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 4000)))
    (call $in (i32.const 0) (i32.const 1000000) (i32.const 1000000) (i32.const 8000000) (i32.const 1000000))
    (i64.const 0)))
