// Once for the type, and once for its method.
// errors: 2

use cachet::Cache;

struct Page;

fn main() {
    let _ = Cache::<str, Page>::builder("pages");
}
