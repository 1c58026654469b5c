use cachet::Cache;

fn main() {
    let _ = Cache::<str, u32>::builder("pages").build();
}
