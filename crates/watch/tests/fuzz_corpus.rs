//! The fuzz targets over their stored corpus: what fuzzing once found stays found.

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

fn over(target: &str, body: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        body(&std::fs::read(entry.expect("an entry").path()).expect("it can be read"));
        count += 1;
    }
    assert!(count > 2, "{count} files for {target}");
}

#[test]
fn stored_inputs_neither_panic_nor_give_a_wrong_text() {
    over("frame", bodies::frame);
    over("symbol", bodies::symbol);
    over("payment_code", bodies::payment_code);
}
