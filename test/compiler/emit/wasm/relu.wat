(module $crosstie
  (type (;0;) (func (param i32) (result i32 i32 f64)))
  (type (;1;) (func (param i32 i32 i32 i32 i32 i32)))
  (import "env" "memory" (memory (;0;) 1 65536))
  (func $relu.plan (type 0) (param $N i32) (result i32 i32 f64)
    (return
      (local.get $N)
      (i32.const 0)
      (f64.mul
        (f64.const 0x1p+2 (;=4;))
        (f64.mul
          (f64.const 0x1p+0 (;=1;))
          (f64.convert_i32_s
            (local.get $N))))))
  (func $relu (type 1) (param $v0 i32) (param $v1 i32) (param $N i32) (param $scratch i32) (param $begin i32) (param $end i32)
    (local i32 i32 i32 i32 i32 v128 i32 i32 i32 i32 i32 v128 i32)
    (local.set 8
      (select (result i32)
        (local.get $begin)
        (i32.const 0)
        (i32.gt_s
          (local.get $begin)
          (i32.const 0))))
    (local.set 9
      (select (result i32)
        (local.get $end)
        (local.get $N)
        (i32.lt_s
          (local.get $end)
          (local.get $N))))
    (local.set 10
      (i32.add
        (local.get 9)
        (i32.const -3)))
    (local.set 11
      (v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000))
    (local.set 6
      (local.get 8))
    (if  ;; label = @1
      (i32.lt_s
        (local.get 6)
        (local.get 10))
      (then
        (loop  ;; label = @2
          (local.set 12
            (i32.mul
              (local.get 6)
              (i32.const 4)))
          (v128.store align=4
            (i32.add
              (local.get $v1)
              (local.get 12))
            (f32x4.add
              (f32x4.pmax
                (v128.load align=4
                  (i32.add
                    (local.get $v0)
                    (local.get 12)))
                (local.get 11))
              (local.get 11)))
          (br_if 0 (;@2;)
            (i32.lt_s
              (local.tee 6
                (i32.add
                  (local.get 6)
                  (i32.const 4)))
              (local.get 10))))))
    (local.set 13
      (i32.sub
        (local.get 9)
        (local.get 8)))
    (local.set 7
      (i32.add
        (local.get 8)
        (i32.and
          (select (result i32)
            (local.get 13)
            (i32.const 0)
            (i32.gt_s
              (local.get 13)
              (i32.const 0)))
          (i32.const -4))))
    (if  ;; label = @1
      (i32.lt_s
        (local.get 7)
        (local.get 9))
      (then
        (loop  ;; label = @2
          (local.set 14
            (i32.sub
              (local.get 9)
              (local.get 7)))
          (local.set 15
            (i32.mul
              (local.get 7)
              (i32.const 4)))
          (local.set 16
            (i32.add
              (local.get $v1)
              (local.get 15)))
          (local.set 17
            (f32x4.add
              (f32x4.pmax
                (v128.load align=4
                  (i32.add
                    (local.get $v0)
                    (local.get 15)))
                (local.get 11))
              (local.get 11)))
          (local.set 18
            (i32.gt_s
              (local.get 14)
              (i32.const 2)))
          (if  ;; label = @3
            (i32.gt_s
              (local.get 14)
              (i32.const 1))
            (then
              (v128.store64_lane align=4 0
                (local.get 16)
                (local.get 17))
              (if  ;; label = @4
                (local.get 18)
                (then
                  (v128.store32_lane offset=8 2
                    (local.get 16)
                    (local.get 17)))))
            (else
              (v128.store32_lane 0
                (local.get 16)
                (local.get 17))))
          (br_if 0 (;@2;)
            (i32.lt_s
              (local.tee 7
                (i32.add
                  (local.get 7)
                  (i32.const 4)))
              (local.get 9)))))))
  (export "relu.plan" (func $relu.plan))
  (export "relu" (func $relu)))
