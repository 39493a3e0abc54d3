;; Fills a table of a million elements, for ever.
(module
  (import "pintle" "yield" (func $yield))

  (memory (export "memory") 1)
  (table $t 1 1000000 funcref)
  (func (export "pintle_abi") (result i32) (i32.const 131072))
  (func (export "pintle_scratch") (param i32) (result i32) (i32.const 16))
  (func (export "pintle_region") (param i32) (result i32) (i32.const 0))
  (func (export "pintle_call") (param i32 i32) (result i64)
    (drop (memory.grow (i32.const 4000)))
    (drop (table.grow $t (ref.null func) (i32.const 999999)))
    (loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 1000000)) (br $l))
    (i64.const 0)))
