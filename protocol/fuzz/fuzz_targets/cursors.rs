#![no_main]

#[path = "../targets.rs"]
#[expect(dead_code, reason = "the other targets use the rest of it")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cursors(data));
