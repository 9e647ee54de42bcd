(module $crosstie
  (type (;0;) (func (result i32 i32 f64)))
  (type (;1;) (func (param i32 i32 i32 i32 i32)))
  (import "env" "memory" (memory (;0;) 1 65536))
  (func $row_mean.plan (type 0) (result i32 i32 f64)
    (return
      (i32.const 3)
      (i32.const 0)
      (f64.mul
        (f64.mul
          (f64.const 0x1.2p+3 (;=9;))
          (f64.const 0x1.8p+1 (;=3;)))
        (f64.const 0x1p+3 (;=8;)))))
  (func $row_mean (type 1) (param $v0 i32) (param $v1 i32) (param $scratch i32) (param $begin i32) (param $end i32)
    (local i32 v128 v128 v128 v128 v128 v128 i32 v128 i32 v128)
    (local.set 12
      (select (result i32)
        (local.get $end)
        (i32.const 3)
        (i32.lt_s
          (local.get $end)
          (i32.const 3))))
    (local.set 13
      (v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000))
    (local.set 5
      (select (result i32)
        (local.get $begin)
        (i32.const 0)
        (i32.gt_s
          (local.get $begin)
          (i32.const 0))))
    (if  ;; label = @1
      (i32.lt_s
        (local.get 5)
        (local.get 12))
      (then
        (loop  ;; label = @2
          (local.set 6
            (local.get 13))
          (local.set 7
            (local.get 13))
          (local.set 8
            (local.get 6))
          (local.set 14
            (i32.add
              (local.get $v0)
              (i32.mul
                (local.get 5)
                (i32.const 32))))
          (local.set 6
            (f32x4.add
              (local.get 8)
              (v128.load align=4
                (local.get 14))))
          (local.set 9
            (local.get 7))
          (local.set 7
            (f32x4.add
              (local.get 9)
              (v128.load offset=16 align=4
                (local.get 14))))
          (local.set 10
            (local.get 6))
          (local.set 11
            (local.get 7))
          (local.set 15
            (f32x4.add
              (local.get 10)
              (local.get 11)))
          (f32.store
            (i32.add
              (local.get $v1)
              (i32.mul
                (local.get 5)
                (i32.const 4)))
            (f32.mul
              (f32.add
                (f32.add
                  (f32x4.extract_lane 0
                    (local.get 15))
                  (f32x4.extract_lane 1
                    (local.get 15)))
                (f32.add
                  (f32x4.extract_lane 2
                    (local.get 15))
                  (f32x4.extract_lane 3
                    (local.get 15))))
              (f32.const 0x1p-3 (;=0.125;))))
          (br_if 0 (;@2;)
            (i32.lt_s
              (local.tee 5
                (i32.add
                  (local.get 5)
                  (i32.const 1)))
              (local.get 12)))))))
  (export "row_mean.plan" (func $row_mean.plan))
  (export "row_mean" (func $row_mean)))
