use cachet::Tier;

struct Disk;

fn main() {
    let _ = Tier::<str, u32>::new(Disk);
}
