// Once for the type, and once for its method.
// errors: 2

use cachet::Cache;

#[derive(Clone, PartialEq, Eq)]
struct Page;

fn main() {
    let _ = Cache::<Page, u32>::builder("pages");
}
