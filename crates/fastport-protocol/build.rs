//! Compiles the wire's `.proto` files to Rust; needs no `protoc` on the machine.

use std::error::Error;

const FILES: [&str; 5] = [
    "proto/commons.proto",
    "proto/tests.proto",
    "proto/benchmark.proto",
    "proto/admin.proto",
    "proto/session.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    // `Bytes` shares the memory that it is decoded from; `Vec<u8>` would copy every payload.
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
