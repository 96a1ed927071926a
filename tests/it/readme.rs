//! The README's table of specifications equals the list of extensions.
//!
//! `ROOKERY_WRITE=1 cargo test --test it readme` writes it.

use std::path::Path;

const BEGIN: &str = "<!-- xeps: written by the list, checked by a test -->\n";
const END: &str = "<!-- /xeps -->\n";

#[test]
fn the_readme_names_what_the_list_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).expect("a README");
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    let wanted = rookery::extensions::markdown();
    if std::env::var_os("ROOKERY_WRITE").is_some() {
        let text = format!("{before}{BEGIN}{wanted}{END}{after}");
        std::fs::write(&path, text).expect("a README that can be written");
        return;
    }
    assert_eq!(table, wanted, "run this test with ROOKERY_WRITE=1");
}
