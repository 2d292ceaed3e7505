fn main() -> std::io::Result<()> {
    // the contract; protoc is in Debian's protobuf-compiler
    let protos = "../../../proto";
    println!("cargo:rerun-if-changed={protos}");
    tonic_prost_build::configure()
        .build_client(false)
        .compile_protos(&[format!("{protos}/gateway/v1/eventing.proto")], &[protos.to_string()])
}
