// What another name of the trait is, the attribute cannot know; the types can.

use cachet::{Tier, cache_tier};

trait Store<K: ?Sized, V> {}

struct Disk;

#[cache_tier(name = "disk")]
impl Store<str, u32> for Disk {
}

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
