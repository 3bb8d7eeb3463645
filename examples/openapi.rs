//! Writes the API's description, built from the code, to `openapi.json` at the repository root.

fn main() -> std::io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    std::fs::write(path, heartbeat::openapi::document())
}
