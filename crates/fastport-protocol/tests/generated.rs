//! Holds `src/generated`, which is committed, against what `proto/` makes; needs no `protoc`.
//!
//! `FASTPORT_GENERATE=1 cargo test --package fastport-protocol --test generated` writes it anew.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::{env, fs};

#[test]
fn committed_messages_are_those_of_the_proto_files() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = package.join("proto");
    let files = FILES.map(|name| proto.join(name).with_extension("proto"));
    let descriptors = protox::compile(files, [&proto]).expect("the proto files compile");
    // `Bytes` shares the memory that it is decoded from; `Vec<u8>` would copy every payload.
    let modules = descriptors
        .file
        .into_iter()
        .map(|file| {
            let name = prost_build::Module::from_protobuf_package_name(file.package());
            (name, file)
        })
        .collect();
    let made = prost_build::Config::new()
        .bytes(["."])
        .generate(modules)
        .expect("the messages are generated");
    for (module, text) in made {
        let name = module.parts().last().expect("a package has a name");
        let path = package
            .join("src/generated")
            .join(name)
            .with_extension("inc");
        if env::var_os("FASTPORT_GENERATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == committed,
            "{} is not what proto/ makes; write it anew as the head of this file says",
            path.display()
        );
    }
}

const FILES: [&str; 5] = ["commons", "tests", "benchmark", "admin", "session"];
