// `gen` is a name in these editions, and a keyword in the macros'.

#[derive(CacheEventHandler)]
pub struct Words {
    #[cache_event(count(tier))]
    pub gen: AtomicU64,
}

#[derive(CacheEventHandler)]
#[allow(non_camel_case_types)]
pub enum gen {
    Gen {
        #[cache_event(count(tier))]
        gen: AtomicU64,
    },
}
